"""A task of an array of Snakemake's executor becomes its own command."""

import base64
import json
import os
import subprocess
import sys
import zlib

import pytest
from snakemake_executor_plugin_slurm_jobstep import ExecutorSettings, _decompress_array_task_call

from scoresweep.launch.array_task import OPTION, own_command

OWN = {2: "echo second > told", 3: "echo 'third & last' > told; false"}


def payload():
    """The commands of the later tasks of an array, packed as executor 2.8.0 packs them."""
    packed = {str(task): zlib.compress(text.encode(), level=9).hex() for task, text in OWN.items()}
    return base64.b64encode(json.dumps(packed).encode()).decode()


@pytest.mark.parametrize("task", OWN)
def test_a_later_task_has_a_command_of_its_own(task):
    arguments = ["snakemake", "--executor", "slurm-jobstep", OPTION + payload()]
    found = own_command(arguments, {"SLURM_ARRAY_TASK_ID": str(task)})
    assert found == OWN[task] == _decompress_array_task_call(payload(), task)


def test_the_option_is_the_executors():
    """Its name is made of the executor's and the field's."""
    assert "array_execs" in ExecutorSettings.__dataclass_fields__
    assert OPTION == "--slurm-jobstep-array-execs="


def test_the_first_task_and_other_jobs_run_what_they_are_given():
    arguments = ["snakemake", OPTION + payload()]
    assert own_command(arguments, {"SLURM_ARRAY_TASK_ID": "1"}) is None
    assert own_command(["snakemake", "--cores", "2"], {}) is None
    assert own_command(["snakemake", OPTION], {"SLURM_ARRAY_TASK_ID": "2"}) is None


def test_a_later_task_runs_nothing_else_and_ends_as_its_command_does(tmp_path):
    code = "from scoresweep.launch.array_task import become_own_task as f; f(); open('more', 'w')"
    ended = subprocess.run(
        [sys.executable, "-c", code, OPTION + payload()],
        cwd=tmp_path,
        env=os.environ | {"SLURM_ARRAY_TASK_ID": "3"},
        check=False,
    )
    assert ended.returncode == 1
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "told": "third & last\n"
    }
