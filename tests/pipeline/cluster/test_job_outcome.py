"""How a job ended, told by what its processes left."""

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
    """Write what the processes of job 7 leave: their results in the order in which they end."""

    def left(*results, order=None):
        for rank in order or range(len(results)):
            paths = JobPaths(tmp_path, "7", rank)
            paths.stdout.write_text(f"the log of process {rank}\n")
            if results[rank] is not None:
                paths.result_pickle.write_bytes(cloudpickle.dumps(results[rank]))
                when = 1000 + (order or list(range(len(results)))).index(rank)
                os.utime(paths.result_pickle, (when, when))
        return tmp_path, "7", len(results)

    return left


def test_all_have_ended(job):
    where = job(DONE, DONE)
    assert job_succeeded(*where)
    assert job_failure(*where) is None


def test_a_process_that_was_killed_takes_the_others_with_it(job):
    """The errors of those that lived are the consequence: the work is lost, not wrong."""
    where = job(CRASHED, None, CRASHED)
    assert not job_succeeded(*where)
    loss = job_failure(*where)
    assert not loss.crashed
    assert loss.killed
    assert re.search("without a result.*the log of process 1", loss.message, re.DOTALL)


def test_a_segmentation_fault_is_not_taken_for_a_kill(job):
    folder, job_id, tasks = job(None)
    JobPaths(folder, job_id, 0).stdout.write_text("Fatal Python error: Segmentation fault")
    assert not job_failure(folder, job_id, tasks).killed


@pytest.mark.parametrize(("code", "error"), [(1, RunError), (2, InputError)])
def test_what_a_person_can_mend_is_told_whatever_the_others_did(job, code, error):
    where = job(None, ("success", ReportedError("the cat", code)), CRASHED)
    assert not job_succeeded(*where)
    with pytest.raises(error, match=r"^the cat$"):
        job_failure(*where)


def test_of_several_crashes_the_first_is_told(job):
    loss = job_failure(*job(CRASHED, CRASHED, order=[1, 0]))
    assert loss.crashed
    assert "the log of process 1" in loss.message
