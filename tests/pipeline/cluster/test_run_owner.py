import pytest

from scoresweep.pipeline.cluster.job_record import JobRecord
from scoresweep.pipeline.cluster.run_owner import RunOwnership
from scoresweep.pipeline.errors import RunError


def test_the_latest_start_owns_the_run(tmp_path):
    first, second = (RunOwnership(tmp_path / ".owner", tmp_path / "job.json") for _ in range(2))
    first.acquire()
    first.check()
    second.acquire()
    second.check()
    with pytest.raises(RunError, match="taken over this run"):
        first.check()


def test_a_slurm_job_that_was_replaced_does_not_start(tmp_path, monkeypatch):
    record = JobRecord.new("study.run", tasks=2)
    record.write(tmp_path / "job.json")
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("SLURM_JOB_NAME", record.name)
    owner = RunOwnership(tmp_path / ".owner", tmp_path / "job.json")
    owner.acquire()
    JobRecord.new("study.run", tasks=2).write(tmp_path / "job.json")
    with pytest.raises(RunError, match="has replaced this SLURM job"):
        owner.acquire()
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "local")  # on a machine inside an allocation
    owner.acquire()


@pytest.mark.parametrize("text", ["", '{"name": "study.run.0123", "job_', "[]", '{"name": "x"}'])
def test_a_damaged_record_is_an_error_with_advice(tmp_path, text):
    path = tmp_path / "runs" / "seed=0" / "job.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(RunError, match=r"seed=0/job.json: is damaged .*`squeue .*remove the file"):
        JobRecord.read(path)


def test_job_names_are_unique(tmp_path):
    names = {JobRecord.new("study.run", tasks=1).name for _ in range(100)}
    assert len(names) == 100
    record = JobRecord.new("study.run", tasks=1)
    record.write(tmp_path / "job.json")
    assert JobRecord.read(tmp_path / "job.json") == record
    assert JobRecord.read(tmp_path / "other.json") is None
