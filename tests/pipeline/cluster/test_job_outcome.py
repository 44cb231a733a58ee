"""How a job ended, from the result files of its processes."""

import os
import re

import cloudpickle
import pytest
from submitit.core.utils import JobPaths

from scoresweep.pipeline.cluster.job_outcome import job_failure, job_succeeded
from scoresweep.pipeline.cluster.task import ReportedError
from scoresweep.pipeline.errors import InputError, RunError

DONE = ("success", None)
CRASHED = ("error", "Traceback ...")


@pytest.fixture
def job(tmp_path):
    """Write the logs and results of the processes of job 7, in the order in which they end."""

    def write(*results, order=None):
        for rank in order or range(len(results)):
            paths = JobPaths(tmp_path, "7", rank)
            paths.stdout.write_text(f"the log of process {rank}\n")
            if results[rank] is not None:
                paths.result_pickle.write_bytes(cloudpickle.dumps(results[rank]))
                when = 1000 + (order or list(range(len(results)))).index(rank)
                os.utime(paths.result_pickle, (when, when))
        return tmp_path, "7", len(results)

    return write


def test_success(job):
    where = job(DONE, DONE)
    assert job_succeeded(*where)
    assert job_failure(*where) is None


def test_a_killed_process_explains_the_errors_of_the_others(job):
    """They are only a consequence: the job was lost, it did not crash."""
    where = job(CRASHED, None, CRASHED)
    assert not job_succeeded(*where)
    loss = job_failure(*where)
    assert not loss.crashed
    assert loss.killed
    assert re.search("without a result.*the log of process 1", loss.message, re.DOTALL)


def test_a_segmentation_fault_is_not_mistaken_for_a_kill(job):
    folder, job_id, tasks = job(None)
    JobPaths(folder, job_id, 0).stdout.write_text("Fatal Python error: Segmentation fault")
    assert not job_failure(folder, job_id, tasks).killed


@pytest.mark.parametrize(("code", "error"), [(1, RunError), (2, InputError)])
def test_a_reported_error_is_raised_whatever_the_others_did(job, code, error):
    where = job(None, ("success", ReportedError("the cat", code)), CRASHED)
    assert not job_succeeded(*where)
    with pytest.raises(error, match=r"^the cat$"):
        job_failure(*where)


def test_the_first_of_several_crashes_is_reported(job):
    loss = job_failure(*job(CRASHED, CRASHED, order=[1, 0]))
    assert loss.crashed
    assert "the log of process 1" in loss.message
