"""Advice for jobs that wait or end for a reason that does not resolve by itself.

`squeue` is a script that prints lines in the format of SLURM 22.05. tests/cluster tests the reason
for waiting with a real SLURM, which cannot measure memory or time limits of seconds.
"""

import os
import re

import pytest

from scoresweep.pipeline.cluster import Resources, slurm_job
from scoresweep.pipeline.cluster.job_record import JobRecord
from scoresweep.pipeline.cluster.launch import launch
from scoresweep.pipeline.errors import InputError

NAME = "tiny.seed=0_148adb1f.0123456789ab"


@pytest.fixture
def output(tmp_path, monkeypatch, capsys):
    """Return the output of a launch whose job has the given rows of `squeue` in turn."""
    monkeypatch.setattr(slurm_job, "SECONDS_TO_SETTLE", 0.0)
    monkeypatch.setattr(slurm_job, "SECONDS_BETWEEN_POLLS", 0.0)
    monkeypatch.setattr(slurm_job, "SECONDS_BETWEEN_QUERIES", (0.0, 0.0))
    for name in ("squeue", "sbatch", "srun"):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\necho error: no more of these >&2\nexit 1\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    def launched(*rows):
        lines = "".join(f"{row}|{NAME}|(null)\n" for row in rows)
        (tmp_path / "rows").write_text(lines)
        (tmp_path / "bin/squeue").write_text(
            f"#!/bin/sh\nhead -n 1 {tmp_path}/rows\n"
            f"[ $(wc -l < {tmp_path}/rows) -eq 1 ] || sed -i 1d {tmp_path}/rows\n"
        )
        logs = tmp_path / "logs"
        logs.mkdir()
        JobRecord(NAME, "16", 1).write(logs / "job.json")
        with pytest.raises(InputError, match="error: no more of these"):
            launch(print, resources=Resources(cluster="slurm"), logs=logs)
        return capsys.readouterr().err

    return launched


def test_a_job_that_requests_too_much_time(output):
    waiting, ended = "16|PENDING||PartitionTimeLimit", "16|NODE_FAIL||None"
    said = output(waiting, waiting, ended)
    assert re.search(r"16: PENDING forever: .* the partition allows; .*train:runtime=", said)


@pytest.mark.parametrize(
    ("state", "reason", "option"),
    [("OUT_OF_MEMORY", "OutOfMemory", "train:mem_mb="), ("TIMEOUT", "TimeLimit", "train:runtime=")],
)
def test_a_job_ended_by_a_limit(output, state, reason, option):
    said = output("16|RUNNING|n1|None", f"16|{state}|n1|{reason}")
    (line,) = (line for line in said.splitlines() if "starting again" in line)
    assert line.startswith(f"SLURM job 16 was lost ({state}); starting again. It ")
    assert option in line


def test_another_end_has_no_hint(output):
    said = output("16|RUNNING|n1|None", "16|NODE_FAIL|n1|NodeDown")
    assert "(NODE_FAIL); starting again. A process ended without a result" in said
    assert "--set-resources" not in said
