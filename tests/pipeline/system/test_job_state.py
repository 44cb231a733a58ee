from __future__ import annotations

from pathlib import Path

import pytest

from scoresweep.pipeline.system.job_state import JobState

NAMES = ("SLURM_JOB_ID", "SLURM_JOB_NODELIST", "SUBMITIT_EXECUTOR")


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({}, ("", "")),
        (
            {"SLURM_JOB_ID": "12", "SLURM_JOB_NODELIST": "n[1-2]"},
            ("12", "n[1-2]"),
        ),
        ({"SLURM_JOB_ID": "12", "SUBMITIT_EXECUTOR": "slurm"}, ("12", "")),
        (
            {"SLURM_JOB_ID": "12", "SLURM_JOB_NODELIST": "n1", "SUBMITIT_EXECUTOR": "local"},
            ("", ""),
        ),
    ],
    ids=["none", "job", "training", "local training in an allocation"],
)
def test_a_process_records_its_slurm_job(
    environment: dict[str, str],
    job: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    JobState("running", 1, 2).write(tmp_path / "progress.json")
    for name in environment:
        monkeypatch.delenv(name)
    state = JobState.read(tmp_path / "progress.json")
    assert state is not None
    assert (state.job_id, state.nodes) == job
