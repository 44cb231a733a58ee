import os

import pytest

from scoresweep.launch import Resources
from scoresweep.launch.slurm_job import _clean_environment


@pytest.mark.parametrize(("account", "kept"), [(None, {"SBATCH_ACCOUNT"}), ("ours", set())])
def test_sbatch_sees_no_allocation_and_nothing_that_would_change_the_job(
    monkeypatch, account, kept
):
    always = {"OUTPUT": "a person's own", "SLURM_CONF": "/etc", "SBATCH_RESERVATION": "friday"}
    never = {"SLURM_JOB_ID": "1", "SBATCH_OUTPUT": "elsewhere", "SBATCH_JOB_NAME": "other"}
    for name, value in {**always, **never, "SBATCH_ACCOUNT": "theirs"}.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with _clean_environment(Resources(cluster="slurm", account=account)):
        assert before.items() - os.environ.items() == {
            (name, before[name]) for name in {*never, "SBATCH_ACCOUNT"} - kept
        }
    assert dict(os.environ) == before
