"""The four-node SLURM that the tests in this folder share; they run one after another."""

import os
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
def brought_up() -> Iterator[bool]:
    """Whether the cluster was brought up for these tests; then it is taken down after them."""
    cluster = Cluster()
    try:
        was_down = cluster.up()
    except UnavailableError as error:
        if os.environ.get("SCORESWEEP_CLUSTER_TESTS") == "require":
            pytest.fail(f"SCORESWEEP_CLUSTER_TESTS=require: {error}")
        pytest.skip(f"THE CLUSTER TESTS WERE LEFT OUT: {error}")
    yield was_down
    if was_down:
        cluster.down()


@pytest.fixture(scope="session")
def cluster(brought_up: bool) -> Cluster:
    """The four-node cluster, up."""
    return Cluster()
