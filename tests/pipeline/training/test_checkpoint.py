import json

import pytest
import torch

from scoresweep.pipeline.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_optimizer,
    newest_checkpoint,
    optimizer_tensors,
    save_checkpoint,
)


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(
        step, {"network": {"w": torch.full((3,), float(step))}}, {"seconds": 1.5, "data": "digits"}
    )


def test_a_saved_state_is_restored(tmp_path):
    found = load_checkpoint(save_checkpoint(tmp_path, checkpoint(7), keep=2))
    assert found.step == 7
    assert found.values == {"seconds": 1.5, "data": "digits"}
    assert torch.equal(found.tensors["network"]["w"], torch.full((3,), 7.0))


def test_only_the_newest_are_kept_without_partial_files(tmp_path):
    for step in (5, 10, 100, 2000):
        save_checkpoint(tmp_path, checkpoint(step), keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000100", "step-00002000"]


def test_partial_files_of_a_killed_process_are_removed(tmp_path):
    left = tmp_path / ".step-00000005.12345.part"
    left.mkdir()
    (left / "network.safetensors").write_bytes(b"half")
    save_checkpoint(tmp_path, checkpoint(10), keep=2)
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000010"]


def cut_short(path):
    file = path / "network.safetensors"
    file.write_bytes(file.read_bytes()[:-5])


def flip_a_byte(path):
    file = path / "network.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def change_the_state(path):
    file = path / "state.json"
    file.write_text(file.read_text().replace("1.5", "1.6"))


def lose_a_file(path):
    (path / "network.safetensors").unlink()


def empty_the_state(path):
    (path / "state.json").write_text("")


def drop_a_key(path):
    (path / "state.json").write_text(json.dumps({"step": 20}))


@pytest.mark.parametrize(
    "damage", [cut_short, flip_a_byte, change_the_state, lose_a_file, empty_the_state, drop_a_key]
)
def test_a_damaged_checkpoint_is_named_and_the_previous_one_is_used(tmp_path, damage):
    save_checkpoint(tmp_path, checkpoint(10), keep=3)
    damage(save_checkpoint(tmp_path, checkpoint(20), keep=3))
    found, unusable = newest_checkpoint(tmp_path, "digits")
    assert found is not None
    assert found.step == 10
    assert [path.name for path in unusable] == ["step-00000020"]


def test_a_checkpoint_of_other_data_is_not_used(tmp_path):
    path = save_checkpoint(tmp_path, checkpoint(10), keep=3)
    found, unusable = newest_checkpoint(tmp_path, "other digits")
    assert found is None
    assert unusable == {path: "the dataset has changed since"}


def test_the_optimiser_resumes_exactly_in_channels_last(tmp_path):
    def make():
        torch.manual_seed(0)
        network = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return network, torch.optim.AdamW(network.parameters(), lr=0.1, fused=True)

    def steps(network, optimizer, seeds):
        for seed in seeds:
            x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
            network(x).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    straight, optimizer = make()
    steps(straight, optimizer, range(6))
    broken, optimizer = make()
    steps(broken, optimizer, range(3))
    path = save_checkpoint(
        tmp_path,
        Checkpoint(
            3,
            {
                "network": broken.state_dict(),
                "optimizer": optimizer_tensors(broken, optimizer),
            },
            {},
        ),
        keep=1,
    )
    found = load_checkpoint(path)
    resumed, optimizer = make()
    resumed.load_state_dict(found.tensors["network"])
    load_optimizer(resumed, optimizer, found.tensors["optimizer"])
    steps(resumed, optimizer, range(3, 6))
    assert torch.equal(resumed.weight, straight.weight)
    assert torch.equal(resumed.bias, straight.bias)
