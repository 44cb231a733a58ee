"""On a full disk each command ends cleanly and resumes once there is space."""

import functools
import resource
import shutil
import subprocess
import time
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from faults.in_process import crash_at, train_run
from faults.processes import end, log, start
from faults.run_comparison import assert_same_run
from tiny_study import give_data, save_untrained_networks, tiny_plan

from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.sampling.sample_store import read_samples
from scoresweep.pipeline.system.atomic_files import remove
from scoresweep.pipeline.training.checkpoint import load_checkpoint

pytestmark = pytest.mark.usefixtures("fresh_process")
OFTEN = {"checkpoint": {"steps": 10, "keep": 1}}


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 4 MB; `grow` gives it more."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)]
    if (
        not shutil.which("mount")
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("a small tmpfs cannot be mounted here, which takes root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # a failed test holds files


def fill(folder, leave_kibibytes):
    with (folder / "filler").open("wb") as file:
        file.write(b"x" * (shutil.disk_usage(folder).free - 1024 * leave_kibibytes))


def grow(folder):
    subprocess.run(["mount", "-o", "remount,size=16m", str(folder)], check=True)


def assert_ended_cleanly(ended, root):
    assert ended.returncode == 1
    assert "No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list(root.rglob(".*.part")) == []


@pytest.mark.slow
def test_training_keeps_its_last_checkpoint_and_resumes_once_there_is_space(
    staged, small_disk, make_plan, scoresweep, capsys, monkeypatch
):
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # a snapshot of a changed checkout would take space
    give_data(small_disk, staged)
    plan = tiny_plan(small_disk, **OFTEN)
    run, layout = plan.runs[0], plan.paths
    fill(small_disk, leave_kibibytes=120)
    assert_ended_cleanly(
        scoresweep("train", "study.yaml", "--run", run.id, cwd=small_disk), small_disk
    )
    assert not layout.weights(run.id).exists()
    (saved,) = layout.checkpoints(run.id).iterdir()
    step = load_checkpoint(saved).step
    grow(small_disk)
    folder = train_run(plan)
    assert f"resuming from step {step} of 120" in capsys.readouterr().err
    assert_same_run(folder, train_run(make_plan(**OFTEN)))


@pytest.mark.slow
def test_sampling_resumes_once_there_is_space(staged, small_disk, make_plan, scoresweep):
    undisturbed = make_plan()
    train_run(undisturbed)
    run, setting = undisturbed.runs[0], undisturbed.settings[0]
    sample(undisturbed, run.id, setting.id)
    give_data(small_disk, staged)
    plan = tiny_plan(small_disk)
    plan.paths.run(run.id).mkdir(parents=True)
    shutil.copy(undisturbed.paths.weights(run.id), plan.paths.weights(run.id))
    fill(small_disk, leave_kibibytes=24)
    command = ("sample", "study.yaml", "--run", run.id, "--setting", setting.id)
    assert_ended_cleanly(scoresweep(*command, cwd=small_disk), small_disk)
    assert not plan.paths.samples_manifest(run.id, setting.store).exists()
    grow(small_disk)
    sample(plan, run.id, setting.id)
    found = [
        xr.load_dataset(p.paths.samples(run.id, setting.store), engine="zarr", consolidated=False)
        for p in (plan, undisturbed)
    ]
    xr.testing.assert_identical(*(data.assign_attrs(seconds=0) for data in found))


@pytest.mark.parametrize("leave_kibibytes", [4, 28, 44])
def test_the_smaller_store_is_kept_if_it_cannot_grow(staged, small_disk, leave_kibibytes):
    give_data(small_disk, staged)
    small = tiny_plan(small_disk)
    run, setting = small.runs[0], small.settings[0]
    save_untrained_networks(small)
    sample(small, run.id, setting.id)
    store = small.paths.samples(run.id, setting.store)
    before = read_samples(store).values
    sampling = setting.sample.model_copy(update={"count": 90})
    large = replace(small, settings=[replace(setting, sample=sampling)])
    fill(small_disk, leave_kibibytes)
    with pytest.raises(RunError, match="No space"):
        sample(large, run.id, setting.id)
    np.testing.assert_array_equal(read_samples(store).values, before)
    grow(small_disk)
    sample(large, run.id, setting.id)
    np.testing.assert_array_equal(read_samples(store, 50).values, before)
    assert len(read_samples(store).values) == 90
    assert list(small_disk.rglob(".*.replaced")) == list(small_disk.rglob(".*.part")) == []


def fill_at_each_removal(folder, monkeypatch, name):
    """Fill the remaining space before each write, from the first file or folder on."""

    def filling(path):
        remove(path)
        if path.name.startswith(f".{name}"):
            fill(folder, leave_kibibytes=0)

    monkeypatch.setattr("scoresweep.pipeline.system.atomic_files.remove", filling)


def test_the_error_of_training_is_reported_on_a_full_disk(staged, small_disk, monkeypatch):
    give_data(small_disk, staged)
    plan = tiny_plan(small_disk, **OFTEN)
    fill_at_each_removal(small_disk, monkeypatch, "step-00000020")
    with pytest.raises(RunError, match=r"step-00000020: could not be written \(No space"):
        train_run(plan)
    assert [path.name for path in plan.paths.checkpoints(plan.runs[0].id).iterdir()] == [
        "step-00000010"
    ]


def test_the_error_of_sampling_is_reported_on_a_full_disk(staged, small_disk, monkeypatch):
    give_data(small_disk, staged)
    plan = tiny_plan(small_disk)
    train_run(plan)
    fill_at_each_removal(small_disk, monkeypatch, "chunk-000001")
    with pytest.raises(RunError, match=r"chunk-000001.safetensors: could not be written \(No sp"):
        sample(plan, plan.runs[0].id, plan.settings[0].id)


def test_a_file_size_limit_is_treated_as_a_full_disk(make_plan, capsys):
    plan = make_plan()
    folder = crash_at(plan, 60)
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (20_000, 20_000))
    time.sleep(1)  # TensorBoard orders starts of different processes by the second
    assert end(start(plan, 1, faults={0: limit})) == [1]
    assert "step-00000080: could not be written (File too large)" in log(plan, 0).read_text()
    assert [path.name for path in folder.iterdir()] == ["step-00000040"]
    time.sleep(1)
    folder = train_run(plan)
    assert "resuming from step 40 of 120" in capsys.readouterr().err
    assert_same_run(folder, train_run(make_plan("undisturbed")))
