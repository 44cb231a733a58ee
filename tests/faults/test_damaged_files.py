"""Truncated or changed files are detected, named, and replaced or made again."""

import re
import shutil

import pytest
import xarray as xr
from faults.in_process import crash_at, train_run
from faults.run_comparison import assert_same_run
from tiny_study import TINY, give_data, tiny_plan

from scoresweep.pipeline.data.store_manifest import manifest_path
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.results import recorded_dataset
from scoresweep.pipeline.rules.evaluate import evaluate
from scoresweep.pipeline.rules.reference import reference
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.study import parse_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml

pytestmark = pytest.mark.usefixtures("fresh_process")


def cut_short(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


DAMAGES = pytest.mark.parametrize("damage", [cut_short, flip_a_byte])


@pytest.fixture(scope="module")
def undisturbed(staged, tmp_path_factory):
    """A folder with the tiny run trained and its first setting drawn and evaluated."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    root = tmp_path_factory.mktemp("undisturbed")
    give_data(root, staged)
    plan = tiny_plan(root)
    train_run(plan)
    sample(plan, plan.runs[0].id, plan.settings[0].id)
    reference(plan, "digits", "pixels")
    evaluate(plan, plan.runs[0].id, plan.settings[0].id)
    return plan


@pytest.fixture
def plan(undisturbed, tmp_path):
    """A copy of that folder, to be damaged."""
    shutil.copytree(undisturbed.paths.root, tmp_path / "copy", symlinks=True)
    return tiny_plan(tmp_path / "copy")


CHECKPOINT = ["averaged", "curves", "network", "optimizer"]
FILES = [*(f"{name}.safetensors" for name in CHECKPOINT), "state.json"]


@pytest.mark.parametrize(
    ("name", "damage"), [("optimizer.safetensors", flip_a_byte), ("state.json", cut_short)]
)
def test_a_damaged_checkpoint_is_replaced_by_the_previous_one(
    make_plan, undisturbed, capsys, name, damage
):
    plan = make_plan()
    newest = crash_at(plan, 100) / "step-00000080"
    assert sorted(path.name for path in newest.iterdir()) == sorted(FILES)
    damage(newest / name)
    folder = train_run(plan)
    said = capsys.readouterr().err
    assert re.search(rf"{newest} cannot be used.*{name} is damaged", said)
    assert "resuming from step 40 of 120" in said
    assert_same_run(folder, undisturbed.paths.run(undisturbed.runs[0].id))


def drawn(plan):
    store = plan.paths.samples(plan.runs[0].id, plan.settings[0].store)
    return xr.load_dataset(store, engine="zarr", consolidated=False).assign_attrs(seconds=0)


@DAMAGES
@pytest.mark.parametrize("name", ["image/c/0/0/0/0", "image/zarr.json"])
def test_damaged_samples_are_redrawn(plan, undisturbed, name, damage):
    run, setting, layout = plan.runs[0].id, plan.settings[0].id, plan.paths
    store = layout.samples(run, plan.settings[0].store)
    damage(store / name)
    with pytest.raises(RunError, match=rf"{store.name}.*image.* (damaged|bytes|missing)"):
        evaluate(plan, run, setting)
    assert not manifest_path(store).exists()  # so that the workflow draws them again
    sample(plan, run, setting)
    evaluate(plan, run, setting)
    xr.testing.assert_identical(drawn(plan), drawn(undisturbed))


def test_a_damaged_trajectory_redraws_the_samples(plan):
    content = parse_yaml(TINY, "tiny.yaml")
    content["sample"]["trajectories"] = 4
    plan = plan_study(parse_study(content, "study.yaml"), plan.paths.root)
    run, setting = plan.runs[0].id, plan.settings[0].id
    sample(plan, run, setting)
    chunks = (plan.paths.samples(run, plan.settings[0].store) / "trajectory/c").rglob("*")
    flip_a_byte(next(path for path in chunks if path.is_file()))
    with pytest.raises(RunError, match=r"trajectory is damaged"):
        evaluate(plan, run, setting)
    sample(plan, run, setting)
    evaluate(plan, run, setting)


def test_sample_detects_damaged_samples(plan, undisturbed, capsys):
    run, setting = plan.runs[0].id, plan.settings[0].id
    flip_a_byte(plan.paths.samples(run, plan.settings[0].store) / "image/c/0/0/0/0")
    sample(plan, run, setting)
    assert re.search(r"image is damaged", capsys.readouterr().err)
    xr.testing.assert_identical(drawn(plan), drawn(undisturbed))


@DAMAGES
@pytest.mark.parametrize("name", ["train/image/c/0/0/0/0", "train/image/zarr.json"])
def test_a_damaged_dataset_is_named_and_staged_again(plan, undisturbed, name, damage):
    layout = plan.paths
    shutil.rmtree(layout.results)
    store, before = layout.dataset_store("digits"), recorded_dataset(layout, "digits").sha256
    damage(store / name)
    with pytest.raises(
        InputError, match=r"digits\.zarr.*image.* (damaged|bytes|missing).*`scoresweep stage"
    ):
        train_run(plan)
    stage(plan, "digits")
    assert (
        recorded_dataset(layout, "digits").sha256 == before
    )  # what was made from it is not made again
    assert_same_run(train_run(plan), undisturbed.paths.run(undisturbed.runs[0].id))
