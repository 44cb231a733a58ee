import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from scoresweep.noise import geometric
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.methods.networks import MLP, NCSNv2
from scoresweep.pipeline.system.safetensors_io import sha256_of_tensors
from scoresweep.pipeline.training.weights import build_network, load_network, save_network

SIGMAS = geometric(8.0, 0.1, 5)
CASES = [
    (MLP(name="mlp", width=8, blocks=1, conditioning="input"), (3,)),
    (MLP(name="mlp", width=8, blocks=2), (1, 8, 8)),
    (NCSNv2(name="ncsnv2", channels=4), (1, 8, 8)),
]


def saved(folder, component=CASES[1][0], shape=(1, 8, 8)):
    torch.manual_seed(0)
    network = build_network(component, shape, SIGMAS)
    save_network(folder / "model.safetensors", network, component)
    return network


@pytest.mark.parametrize(("component", "shape"), CASES)
def test_a_saved_state_is_restored(tmp_path, component, shape):
    network = saved(tmp_path, component, shape)
    found = load_network(str(tmp_path))
    assert type(found) is type(network)
    assert found.shape == shape
    assert torch.equal(found.sigmas, SIGMAS.float())
    x, sigma = torch.randn(2, *shape), torch.tensor([8.0, 0.1])
    assert torch.equal(found(x, sigma), network.eval()(x, sigma))
    assert not found.training
    assert not any(parameter.requires_grad for parameter in found.parameters())


def test_networks_process_images_in_channels_last():
    network = build_network(CASES[2][0], (1, 8, 8), SIGMAS)
    weights = [p for p in network.parameters() if p.ndim == 4 and min(p.shape[1:]) > 1]
    assert weights
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


def test_equal_weights_make_equal_files(tmp_path):
    contents = set()
    for name in "abcdefgh":
        (tmp_path / name).mkdir()
        saved(tmp_path / name)
        contents.add((tmp_path / name / "model.safetensors").read_bytes())
    assert len(contents) == 1


@pytest.mark.parametrize("left", [0, 5, 200, -1])
def test_a_truncated_file_is_named(tmp_path, left):
    saved(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(InputError, match=r"model.safetensors: expected .*train the run again"):
        load_network(tmp_path)


def test_a_changed_byte_is_detected(tmp_path):
    saved(tmp_path)
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"damaged: its SHA-256 .*train the run again"):
        load_network(tmp_path)


def test_weights_of_another_network_are_refused(tmp_path):
    saved(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    save_file(tensors, path)
    with pytest.raises(InputError, match=r"model.safetensors: .*'model'"):
        load_network(tmp_path)
    saved(tmp_path, MLP(name="mlp", width=8, blocks=1))
    with safe_open(path, framework="pt") as file:
        model = json.loads(file.metadata()["model"])
    model["sha256"] = sha256_of_tensors(tensors)
    save_file(tensors, path, metadata={"model": json.dumps(model)})  # two blocks, not one
    with pytest.raises(InputError, match=r"expected [^;]*Unexpected key[^;]*blocks.1"):
        load_network(tmp_path)


def test_missing_weights_name_the_next_step(tmp_path):
    with pytest.raises(InputError, match=r"model.safetensors: is missing; train the run first"):
        load_network(tmp_path)
