"""A disk that is full (a small tmpfs, which takes root to mount) ends each command cleanly."""

import os
import shutil
import subprocess

import pytest
from tiny_study import tiny_plan

from scoresweep.launch import Resources
from scoresweep.pipeline.train import train

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs takes root")


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of a given size."""
    mounted = []

    def mount(kibibytes):
        folder = tmp_path / "disk"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "none", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("this machine does not let root mount a tmpfs")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder, leave_kibibytes):
    with (folder / "filler").open("wb") as file:
        file.write(b"x" * (shutil.disk_usage(folder).free - 1024 * leave_kibibytes))


def test_training_keeps_its_last_checkpoint_and_goes_on_when_there_is_room(
    staged, small_disk, make_plan, scoresweep
):
    from safetensors.torch import load_file

    root = small_disk(4096)
    shutil.copytree(staged / "data", root / "data")
    plan = tiny_plan(root, checkpoint={"steps": 10, "keep": 1})
    run, layout = plan.runs[0], plan.layout
    fill(root, leave_kibibytes=110)
    ended = scoresweep("train", "study.yaml", "--run", run.id, cwd=root)
    assert ended.returncode == 1
    assert "No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not layout.weights(run.id).exists()
    assert list(root.rglob(".*.part")) == []
    (root / "filler").unlink()
    ended = scoresweep("train", "study.yaml", "--run", run.id, cwd=root)
    assert ended.returncode == 0, ended.stderr
    undisturbed = make_plan(checkpoint={"steps": 10, "keep": 1})
    train(undisturbed, run.id, Resources())
    ours = load_file(layout.weights(run.id))
    for name, value in load_file(undisturbed.layout.weights(run.id)).items():
        assert ours[name].equal(value)


def test_sampling_leaves_nothing_half_written(staged, small_disk, make_plan, scoresweep):
    trained = make_plan()
    run, setting = trained.runs[0], trained.settings[0]
    train(trained, run.id, Resources())
    root = small_disk(3072)
    shutil.copytree(staged / "data", root / "data")
    plan = tiny_plan(root)
    plan.layout.run(run.id).mkdir(parents=True)
    shutil.copy(trained.layout.weights(run.id), plan.layout.weights(run.id))
    fill(root, leave_kibibytes=24)
    command = ("sample", "study.yaml", "--run", run.id, "--setting", setting.id)
    ended = scoresweep(*command, cwd=root)
    assert ended.returncode == 1
    assert "No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not plan.layout.samples_manifest(run.id, setting.id).exists()
    assert list(root.rglob(".*.part")) == []
    (root / "filler").unlink()
    assert scoresweep(*command, cwd=root).returncode == 0
