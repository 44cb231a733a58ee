"""The four-node SLURM shared by the tests of this folder, which run one after another."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import Cluster, UnavailableError


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("cluster")
            item.add_marker(pytest.mark.xdist_group("cluster"))


@pytest.fixture(scope="session")
def started_cluster(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether the cluster was started for these tests; then they stop it again.

    Two test runs on one machine take turns, since some tests kill nodes. Jobs of a killed test run
    are cancelled.
    """
    if hasattr(request.config, "workerinput") and not any(
        item.nodeid.endswith("@cluster") for item in request.session.items
    ):
        pytest.fail("the cluster tests need one worker: use --dist loadgroup")
    cluster = Cluster()
    with (Path(tempfile.gettempdir()) / "scoresweep-cluster.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            was_down = cluster.up()
        except UnavailableError as error:
            if os.environ.get("SCORESWEEP_CLUSTER_TESTS") == "require":
                pytest.fail(f"SCORESWEEP_CLUSTER_TESTS=require: {error}")
            pytest.skip(f"CLUSTER TESTS SKIPPED: {error}")
        if not was_down:
            cluster.cancel_jobs()
        yield was_down
        if was_down:
            cluster.down()


@pytest.fixture(scope="session")
def cluster(started_cluster: bool) -> Cluster:
    """The four-node cluster, up."""
    return Cluster()
