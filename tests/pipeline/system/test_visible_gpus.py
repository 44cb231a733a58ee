"""The GPUs that CUDA_VISIBLE_DEVICES allows, as SLURM, sites and users write it."""

import pytest

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.system.visible_gpus import allot_gpus, check_slices, visible_gpus

UUIDS = ["GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "GPU-1c3f"]
SLICES = ["MIG-3a41b0c2-9d5e-5a4f-8c7e-0123456789ab", "MIG-GPU-8932f937/1/0"]


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (None, None),
        ("", []),
        ("0", ["0"]),
        ("2,0", ["2", "0"]),
        ("0, 1", ["0", "1"]),
        (",".join(UUIDS), UUIDS),
        (",".join(SLICES), SLICES),
        ("0,-1,1", ["0"]),
        ("-1", []),
        ("NoDevFiles", []),
        ("1,1", []),
    ],
)
def test_names_are_read_as_cuda_reads_them(monkeypatch, value, names):
    set_variable(monkeypatch, value)
    assert visible_gpus() == names


@pytest.mark.parametrize(
    ("value", "gpus", "allotted"),
    [
        (None, 0, ""),
        (None, 2, "0,1"),
        ("3,1", 1, "3"),
        ("3,1", 2, "3,1"),
        ("3,1", 0, ""),
        (",".join(UUIDS), 2, ",".join(UUIDS)),
        (SLICES[0], 1, SLICES[0]),
    ],
)
def test_a_job_gets_the_first_gpus(monkeypatch, value, gpus, allotted):
    set_variable(monkeypatch, value)
    assert allot_gpus(gpus) == allotted


@pytest.mark.parametrize(("value", "available"), [("", 0), ("3", 1), (UUIDS[0], 1), ("-1,0", 0)])
def test_more_gpus_than_the_environment_allows_are_refused(monkeypatch, value, available):
    set_variable(monkeypatch, value)
    with pytest.raises(InputError, match=rf"gpus: 2: .*'{value}' .* expected {available} or"):
        allot_gpus(2)


def test_a_job_uses_one_slice(monkeypatch):
    set_variable(monkeypatch, ",".join(SLICES))
    check_slices(1)
    for check in (check_slices, allot_gpus):
        with pytest.raises(InputError, match=r"gpus: 2: .*MIG.* expected 1$"):
            check(2)


def set_variable(monkeypatch, value):
    if value is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
