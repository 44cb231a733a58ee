"""Studies that do not fit the shape or the number of samples are errors."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_study import TINY

from scoresweep.networks.normalization import InstanceNormPlus
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study import parse_study, plan_study
from scoresweep.pipeline.study.data_checks import check_data
from scoresweep.pipeline.study.load import parse_yaml

SMALLEST = {
    "ncsn": 2,
    "ncsnv2": 2,
    "ncsnv2_deeper": 4,
    "ncsnv2_deepest": 8,
    "unet": 8,
    "mlp": 1,
    "plain_mlp": 1,
}


def plan(root, network="mlp", dataset=None, **train):
    content = parse_yaml(TINY, "tiny.yaml")
    network = {"name": network} if isinstance(network, str) else network
    content["train"] |= {"network": network} | train
    content["dataset"] = dataset or {"name": "digits"}
    return plan_study(parse_study(content, "tiny.yaml"), root)


def check(*arguments, **options):
    """Check staged data too, as `scoresweep plan` does."""
    check_data(plan(*arguments, **options), "tiny.yaml")


def folder(root, side):
    """Return a folder of images, whose size is known only if resized or staged."""
    (root / "own").mkdir(exist_ok=True)
    Image.fromarray(np.zeros((side, side), np.uint8)).save(root / "own" / "0.png")
    return {"name": "folder", "path": str(root / "own")}


def staged(root, dataset, shape):
    """Write the manifest of a staged dataset."""
    path = plan(root, dataset=dataset)
    manifest = path.paths.dataset_manifest(path.study.dataset[0].id)
    manifest.parent.mkdir(exist_ok=True)
    kind = "image" if len(shape) == 3 else "point"
    splits = {"train": {kind: {"shape": [90, *shape]}}, "test": {kind: {"shape": [5, *shape]}}}
    manifest.write_text(json.dumps({"splits": splits}))


@pytest.mark.parametrize("name", SMALLEST)
def test_networks_run_at_their_smallest_side(tmp_path, name):
    """The network runs at this side and at some above it, and at none below."""
    small = {"channels": 4} if SMALLEST[name] > 1 else {}
    network = plan(tmp_path, {"name": name} | small).runs[0].train.network
    assert network.smallest_side == SMALLEST[name]
    options, sigmas = network.arguments(), torch.tensor([1.0, 0.1])
    for side in {*range(SMALLEST[name], SMALLEST[name] + 4), 17}:
        x = torch.rand(2, 1, side, side)
        score = network.load()((1, side, side), sigmas, **options)(x, sigmas)
        assert score.shape == x.shape
        assert score.isfinite().all()
    for shape in ((1, SMALLEST[name] - 1, 17), (1, 17, SMALLEST[name] - 1)):
        if min(shape):
            with pytest.raises(ValueError, match=f"{SMALLEST[name]}×{SMALLEST[name]} pixels"):
                network.load()(shape, sigmas, **options)


@pytest.mark.parametrize("name", [name for name, side in SMALLEST.items() if side > 4])
def test_images_resized_too_small_are_an_error(tmp_path, name):
    dataset = folder(tmp_path, 20)
    with pytest.raises(InputError, match=rf"train\.network: {name}: .*7 pixels.*at least 8 "):
        plan(tmp_path, name, dataset | {"size": 7})
    plan(tmp_path, name, dataset | {"size": 8})
    plan(tmp_path, name, dataset)


def test_size_of_staged_images_is_checked(tmp_path):
    dataset = folder(tmp_path, 20)
    staged(tmp_path, dataset, (3, 9, 1))
    with pytest.raises(InputError, match=r"train\.network: ncsnv2_deeper: .*3 pixels.*at least 4 "):
        check(tmp_path, "ncsnv2_deeper", dataset)
    check(tmp_path, "ncsnv2", dataset)
    plan(tmp_path, "ncsnv2_deeper", dataset)  # not checked: other images may be staged


def test_staged_points_are_an_error_for_image_options(tmp_path):
    dataset = {"name": "array", "path": str(tmp_path / "a.npy")}
    plan(tmp_path, "unet", dataset)
    staged(tmp_path, dataset, (2,))
    with pytest.raises(InputError, match=r"train\.network: unet: needs images"):
        check(tmp_path, "unet", dataset)
    with pytest.raises(InputError, match=r"train\.flip: true: .* has points"):
        check(tmp_path, "mlp", dataset, flip=True)
    check(tmp_path, "mlp", dataset)


def test_unet_with_fewer_stages_takes_smaller_images(tmp_path):
    dataset = folder(tmp_path, 20) | {"size": 4}
    with pytest.raises(InputError, match=r"expected at least 8 pixels.*multipliers"):
        plan(tmp_path, "unet", dataset)
    plan(tmp_path, {"name": "unet", "multipliers": [1, 2, 2]}, dataset)


def test_ncsnpp_needs_sides_that_can_be_halved(tmp_path):
    dataset, error = folder(tmp_path, 28), r"train\.network: ncsnpp: .*28 x 28.* multiples of 8 "
    staged(tmp_path, dataset, (28, 28, 1))
    with pytest.raises(InputError, match=error):
        check(tmp_path, "ncsnpp", dataset)
    network = {"name": "ncsnpp", "multipliers": [1, 2, 2], "attention": [7]}
    check(tmp_path, network, dataset)
    with pytest.raises(InputError, match="multiples of 4 "):
        plan(tmp_path, network, dataset | {"size": 6})


@pytest.mark.parametrize("name", ["ncsn", "ncsnv2", "ncsnv2_deeper", "ncsnv2_deepest"])
def test_refinenets_need_two_channels(tmp_path, name):
    with pytest.raises(InputError, match=r"train\.network\.channels: 1: .*2"):
        plan(tmp_path, {"name": name, "channels": 1})
    plan(tmp_path, {"name": name, "channels": 2})


def test_instance_norm_plus_needs_two_channels():
    with pytest.raises(ValueError, match="2 channels or more, found 1"):
        InstanceNormPlus(1)
    assert InstanceNormPlus(2)(torch.rand(1, 2, 3, 3)).isfinite().all()


def test_warmup_longer_than_training_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"train\.optimizer\.warmup: 11: .*train\.steps, 10"):
        plan(tmp_path, steps=10, optimizer={"warmup": 11})
    plan(tmp_path, steps=10, optimizer={"warmup": 10})
    plan(tmp_path, "oracle", steps=10, optimizer={"warmup": 11})


def test_batch_larger_than_training_set_is_an_error(tmp_path):
    for dataset in ({"name": "moons", "train_count": 20}, {"name": "digits", "subset": 20}):
        with pytest.raises(InputError, match=r"train\.batch_size: 21: .* 20 training samples"):
            check(tmp_path, dataset=dataset, batch_size=21)
        check(tmp_path, dataset=dataset, batch_size=20)
    dataset = folder(tmp_path, 20)
    check(tmp_path, dataset=dataset, batch_size=91)
    staged(tmp_path, dataset, (8, 8, 1))
    with pytest.raises(InputError, match=r"train\.batch_size: 91: .* 90 training samples"):
        check(tmp_path, dataset=dataset, batch_size=91)
    check(tmp_path, "oracle", dataset, batch_size=91)
    made = plan(tmp_path, dataset=dataset, batch_size=91)
    for run in made.runs:
        made.paths.weights(run.id).parent.mkdir(parents=True)
        made.paths.weights(run.id).touch()  # as imported
    check(tmp_path, dataset=dataset, batch_size=91)


@pytest.mark.parametrize(("attention", "warns"), [((4,), False), ((), False), ((16, 4), True)])
def test_unused_attention_size_is_a_warning(tmp_path, capsys, attention, warns):
    network = {"name": "unet", "multipliers": [1, 2], "channels": 8, "attention": list(attention)}
    check(tmp_path, network)
    err = capsys.readouterr().err
    assert ("attention: [16]" in err and "8, 4 pixels" in err) is warns
    assert bool(err) is warns


@pytest.mark.parametrize(
    ("mean", "side"), [(-2.0, ""), (-5.0, "below"), (3.0, "above"), (9e9, "above")]
)
def test_a_law_around_other_levels_than_the_ladder_is_a_warning(tmp_path, capsys, mean, side):
    ladder = {"name": "geometric", "sigma_max": 8.0, "sigma_min": 0.1, "levels": 5}
    check(tmp_path, noise=ladder, noise_sampling={"name": "log_normal", "mean": mean, "std": 1.0})
    said = capsys.readouterr()
    found = "train.noise_sampling.mean" in said.out + said.err
    assert found == bool(side)
    assert side in said.out + said.err


@pytest.mark.parametrize(
    ("sampler", "initial", "sigma_max", "warned"),
    [
        ("edm", "uniform", 8.0, True),
        ("probability_flow", "uniform", 8.0, True),
        ("predictor_corrector", "uniform", 8.0, True),
        ("denoise_renoise", "uniform", 8.0, False),
        ("edm", "uniform", 1.0, False),
        ("edm", "normal", 8.0, False),
    ],
)
def test_a_start_without_noise_is_a_warning(tmp_path, capsys, sampler, initial, sigma_max, warned):
    content = parse_yaml(TINY, "tiny.yaml")
    content["train"]["noise"] |= {"sigma_max": sigma_max}
    content["sample"] |= {"sampler": {"name": sampler}, "initial": initial, "grid": {}}
    check_data(plan_study(parse_study(content, "tiny.yaml"), tmp_path), "tiny.yaml")
    said = capsys.readouterr()
    assert ("sample.initial: uniform" in said.out + said.err) == warned
