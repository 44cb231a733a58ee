"""The test cluster is a real SLURM: it runs jobs, detects dead nodes, cleans up."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from slurm_cluster import MARKER, NODES, Cluster, UnavailableError, run, wait_until

SCRIPT = Path(__file__).with_name("slurm_cluster.py")


def sbatch(*options, wrap):
    """Submit a job and return its id."""
    return run("sbatch", "--parsable", *options, f"--wrap={wrap}").stdout.strip()


def state_of(job):
    return run(
        "squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}"
    ).stdout.strip()


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def wait_for(job, state, seconds=60):
    wait_until(lambda: state_of(job) == state, f"job {job} {state}", seconds)


def test_four_nodes_are_idle(cluster):
    cluster.wait_idle()
    assert cluster.node_states() == dict.fromkeys(NODES, "idle")


def test_one_job_runs_on_all_nodes(cluster):
    script = "echo $SLURMD_NODENAME $SLURM_PROCID $SLURM_NTASKS"
    output = run("srun", "--nodes=4", "--distribution=block", "sh", "-c", script).stdout
    assert sorted(output.splitlines()) == ["n1 0 4", "n2 1 4", "n3 2 4", "n4 3 4"]


def test_node_names_resolve(cluster):
    assert run("getent", "hosts", *NODES).stdout.split().count("127.0.0.1") == 4


def test_accounting_knows_every_task_of_an_array(cluster, tmp_path):
    job = sbatch("--array=0-3", "--comment=rule_sample", f"--output={tmp_path}/%a", wrap="true")

    def finished():
        form = (
            "--format=jobid,state,comment,account",
            "--noheader",
            "--parsable2",
            "--allocations",
        )
        rows = run("sacct", f"--jobs={job}", *form).stdout.splitlines()
        return sorted(rows) == [f"{job}_{n}|COMPLETED|rule_sample|scoresweep" for n in range(4)]

    wait_until(finished, "four tasks in sacct")


def test_an_account_that_does_not_exist_is_refused(cluster):
    with pytest.raises(Exception, match="Invalid account"):
        sbatch("--account=nobody", wrap="true")


def test_a_requeued_job_starts_within_seconds(cluster, tmp_path):
    starts = tmp_path / "starts"
    job = sbatch("--output=/dev/null", wrap=f"date +%s >> {starts}; sleep 300")
    wait_until(lambda: len(lines(starts)) == 1, "the first start")
    requeued = time.time()
    run("scontrol", "requeue", job)
    wait_until(lambda: len(lines(starts)) == 2, "the second start")
    assert int(lines(starts)[1]) - requeued < 45
    run("scancel", job)


def test_a_dead_node_is_detected_and_its_job_restarts_elsewhere(cluster, tmp_path):
    starts = tmp_path / "starts"
    script = f"echo $SLURMD_NODENAME $$ >> {starts}; sleep 300"
    job = sbatch("--output=/dev/null", wrap=script)
    wait_until(lambda: len(lines(starts)) == 1, "the first start")
    first, pid = lines(starts)[0].split()
    cluster.kill_node(first)
    assert not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_text()
    try:
        wait_until(lambda: len(lines(starts)) == 2, "the second start")
        second, _ = lines(starts)[1].split()
        assert second != first
        assert cluster.node_states()[first] == "down*"
        assert state_of(job) == "RUNNING"
        run("scancel", job)
    finally:
        cluster.start_node(first)
    cluster.wait_idle()


@pytest.mark.parametrize("daemon", ["slurmctld", "slurmdbd"])
def test_jobs_survive_a_hanging_daemon(cluster, tmp_path, daemon):
    done = tmp_path / "done"
    job = sbatch("--output=/dev/null", wrap=f"sleep 2; touch {done}")
    wait_for(job, "RUNNING")
    cluster.pause(daemon)
    try:
        wait_until(done.exists, "the end of the job")
    finally:
        cluster.resume(daemon)
    wait_for(job, "COMPLETED")


def test_up_does_nothing_if_the_cluster_runs(cluster):
    assert Cluster().up() is False


@pytest.fixture
def own_cluster(started_cluster, cluster):
    """The cluster, if these tests started it."""
    if not started_cluster:
        pytest.skip("the cluster was up before these tests: it is left as it is")
    return cluster


def test_it_goes_down_and_up_again(own_cluster):
    cluster = own_cluster
    assert cluster.down()
    assert not cluster.state.exists()
    assert not [path for path in cluster.etc.iterdir() if path.suffix == ".conf" and written(path)]
    assert not written(cluster.hosts)
    assert not run("ps", "-eo", "stat,args").stdout.count(str(cluster.state))
    assert cluster.down() is False
    assert cluster.up() is True
    assert run("srun", "--nodes=4", "true").returncode == 0


def test_jobs_of_a_killed_cluster_do_not_start_again(own_cluster):
    wait_for(sbatch("--output=/dev/null", wrap="sleep 300"), "RUNNING")
    own_cluster.kill()
    assert own_cluster.up() is True
    assert run("squeue", "--noheader").stdout == ""
    assert own_cluster.node_states() == dict.fromkeys(NODES, "idle")


def written(path):
    return MARKER in path.read_text()


def foreign(tmp_path, name="slurm/slurm.conf"):
    """A folder with another SLURM configuration."""
    place = Cluster(tmp_path / "slurm", tmp_path / "hosts", tmp_path / "state")
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text("ClusterName=site\n")
    place.hosts.write_text("127.0.0.1 localhost\n")
    return place


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("action", ["up", "down"])
@pytest.mark.parametrize("name", ["slurm/slurm.conf", "slurm/gres.conf", "slurm-llnl/slurm.conf"])
def test_a_foreign_configuration_is_refused(tmp_path, monkeypatch, action, name):
    place = foreign(tmp_path, name)
    before = contents(tmp_path)
    monkeypatch.setenv("SLURM_CONF", str(place.etc / "slurm.conf"))
    with pytest.raises(UnavailableError, match=re.escape(str(tmp_path / name))):
        getattr(place, action)()
    assert contents(tmp_path) == before


@pytest.mark.parametrize("action", ["up", "down"])
def test_a_configuration_elsewhere_is_refused(action):
    ended = subprocess.run(
        [sys.executable, SCRIPT, action],
        env=os.environ | {"SLURM_CONF": "/opt/site/slurm.conf"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "SLURM_CONF is /opt/site/slurm.conf" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_another_running_slurm_is_refused(cluster, tmp_path):
    place = Cluster(tmp_path / "slurm", tmp_path / "hosts", tmp_path / "state")
    with pytest.raises(UnavailableError, match="is running, pid"):
        place.up()
    assert contents(tmp_path) == {}
