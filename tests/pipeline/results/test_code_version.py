"""The code of a result: what its hash covers, and how it is recorded and read."""

import json
import shutil
import typing
from pathlib import Path

import grimp
import pytest
import xarray as xr

import scoresweep
from scoresweep.pipeline.results import code_version as module
from scoresweep.pipeline.results.code_version import (
    FILES,
    UNKNOWN,
    CodeVersion,
    current_code,
    files_of,
    join_codes,
    recorded_code,
)
from scoresweep.pipeline.study.methods.datasets import AnyDataset
from scoresweep.pipeline.study.methods.metrics import EXTRACTORS, METRICS
from scoresweep.pipeline.study.methods.networks import AnyNetwork
from scoresweep.pipeline.study.methods.noise import AnyNoise
from scoresweep.pipeline.study.methods.objectives import AnyObjective
from scoresweep.pipeline.study.methods.samplers import AnySampler

PACKAGE = Path(scoresweep.__file__).parent

COMPUTES_NOTHING = (
    *(f"pipeline.{name}" for name in ("study", "errors", "netcdf_attrs", "results", "cluster")),
    *(
        "pipeline.report",
        "pipeline.rules.train",
        *("pipeline.data.download", "pipeline.data.fetch"),
        *("metric_names", "out_of_memory", "plugins"),
        "sampler_limits",
    ),
    *("pipeline.data.user_files", "pipeline.data.file_changes"),
    *(
        f"pipeline.system.{name}"
        for name in (
            *(
                "atomic_files",
                "console",
                "device",
                "visible_gpus",
                "file_cache",
                "file_kinds",
                "file_parts",
                "hdf5",
                "job_state",
                "locks",
            ),
            *("gpu_memory", "memory_errors", "pickle_globals", "process", "provenance"),
        )
    ),
    *("pipeline.training.step_memory", "pipeline.evaluation.metric_cache"),
)
"""Modules that do not change the numbers in results."""

ENTRIES = {
    "data": ["scoresweep.pipeline.rules.stage"],
    "networks": [
        f"scoresweep.pipeline.training.{name}" for name in ("setup", "network_setup", "artifacts")
    ],
    "samples": ["scoresweep.pipeline.rules.sample"],
    "features": ["scoresweep.pipeline.rules.reference"],
    "score_error": [
        "scoresweep.pipeline.evaluation.network_metrics",
        "scoresweep.pipeline.training.weights",
    ],
    "metrics": ["scoresweep.pipeline.rules.evaluate"],
}

IMPORTED_FOR_OTHER_REASONS = {
    "networks": ("samplers",),  # the pictures in TensorBoard
    # the trainer is imported for the engine that `compile` shares with it
    "samples": ("pipeline.training", "pipeline.data.memory_loader", "pipeline.data.shard_loader"),
    # labels and files of measurements
    "features": (
        *("metrics", "distributions", "score", "networks"),
        "pipeline.evaluation.measurement_files",
    ),
    "score_error": ("pipeline.sampling.sample_store",),
    "metrics": (
        "adamw",  # extractors are trained when the features of real samples are computed
        *("pipeline.evaluation.network_metrics", "pipeline.data.sources"),
        *("pipeline.data.loaded_dataset", "pipeline.data.stratify"),
    ),
}
"""By kind: imported modules that do not compute its numbers, beyond `COMPUTES_NOTHING`."""


def targets(union):
    return [kind.target.split(":")[0] for kind in typing.get_args(typing.get_args(union)[0])]


CHOSEN = {
    "data": targets(AnyDataset),
    "networks": [*targets(AnyNetwork), *targets(AnyObjective), *targets(AnyNoise)],
    "samples": [*targets(AnyNetwork), *targets(AnySampler), *targets(AnyNoise)],
    "features": [each.target.split(":")[0] for each in EXTRACTORS.values()],
    "score_error": targets(AnyNetwork),
    "metrics": [t.target.split(":")[0] for t in (*METRICS.values(), *EXTRACTORS.values())],
}
"""By kind: modules that a study selects by name."""


@pytest.fixture(scope="module")
def imports():
    graph = grimp.build_graph("scoresweep")
    # `scoresweep.load_network` and `scoresweep.open_run` are for users.
    for imported in ("training.weights", "sampling.open_run"):
        graph.remove_import(importer="scoresweep", imported=f"scoresweep.pipeline.{imported}")
    return graph


def is_in(name, groups):
    return any(name == group or name.startswith(f"{group}.") for group in groups)


@pytest.mark.parametrize("kind", FILES)
def test_the_hash_covers_everything_that_computes_a_result(kind, imports):
    entries = [name for name in (*ENTRIES[kind], *CHOSEN[kind]) if name.startswith("scoresweep.")]
    modules = set(entries).union(*(imports.find_upstream_modules(name) for name in entries))
    names = {name.removeprefix("scoresweep.") for name in modules - {"scoresweep"}}
    covered = {file.relative_to(PACKAGE) for file in files_of(kind, PACKAGE)}
    others = (*COMPUTES_NOTHING, *IMPORTED_FOR_OTHER_REASONS.get(kind, ()))
    missing = {
        name
        for name in names
        if not is_in(name, others)
        and not covered
        & {Path(*name.split(".")).with_suffix(".py"), Path(*name.split("."), "__init__.py")}
    }
    assert missing == set()


def test_every_path_exists_and_all_methods_of_the_library_are_covered():
    paths = {PACKAGE / name for names in FILES.values() for name in names}
    assert [str(path) for path in paths if not path.exists()] == []
    covered = {file for kind in FILES for file in files_of(kind, PACKAGE)}
    folders = ("objectives", "networks", "samplers", "metrics")
    library = {file for name in folders for file in (PACKAGE / name).rglob("*.py")}
    library |= {PACKAGE / f"{name}.py" for name in ("noise", "distributions", "score", "seeds")}
    assert library <= covered


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """Return a function that edits a file in a copy of the package and returns what changed."""
    copy = tmp_path / "scoresweep"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(module, "PACKAGE", copy)
    code = current_code.__wrapped__

    def edit(name):
        before = {kind: code(kind).code for kind in FILES}
        with (copy / name).open("a") as file:
            file.write("# edited\n")
        return {kind for kind in FILES if code(kind).code != before[kind]}

    yield edit
    current_code.cache_clear()


def test_an_edit_changes_the_code_of_what_the_file_computes(edited):
    assert edited("samplers/langevin.py") == {"samples"}
    assert edited("objectives/dsm.py") == {"networks"}
    assert edited("networks/unet.py") == {"networks", "samples", "score_error", "metrics"}
    assert edited("metrics/frechet.py") == {"score_error", "metrics"}
    assert edited("metrics/extractors/inception.py") == {"features", "score_error", "metrics"}
    assert edited("pipeline/data/sources/digits.py") == {"data"}
    assert edited("seeds.py") == set(FILES) - {"data"}
    for name in (
        *("pipeline/report/page/render.py", "pipeline/cli.py"),
        *("pipeline/commands/progress/study_status.py", "pipeline/system/locks.py"),
    ):
        assert edited(name) == set()


def test_the_code_is_read_once_per_process(edited, monkeypatch):
    current_code.cache_clear()
    before = current_code("samples")
    assert edited("samplers/langevin.py") == {"samples"}
    assert current_code("samples") == before
    current_code.cache_clear()
    assert current_code("samples").code != before.code


def test_a_record_is_found_in_json_and_netcdf(tmp_path):
    code = CodeVersion("0123456789ab", "fedcba987654+")
    (tmp_path / "a.json").write_text(json.dumps({"made_by": code.record(), "count": 3}))
    content = xr.Dataset({"x": ("i", [1.0])}, attrs={"run": "a"} | code.attribute())
    content.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    assert recorded_code(tmp_path / "a.json") == recorded_code(tmp_path / "a.nc") == code


def test_files_without_a_record_have_unknown_code(tmp_path):
    xr.Dataset({"x": ("i", [1.0])}).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    (tmp_path / "empty.nc").touch()
    for name, text in (("a", '{"count": 3}'), ("cut", '{"cou'), ("list", "[]"), ("odd", "null")):
        (tmp_path / f"{name}.json").write_text(text)
    found = {recorded_code(path) for path in tmp_path.iterdir()}
    assert found == {UNKNOWN}
    (tmp_path / "provenance.json").write_text('{"commit": "0123456789abcdef"}')
    assert recorded_code(tmp_path / "provenance.json") == CodeVersion("", "0123456789ab")
    with pytest.raises(FileNotFoundError):
        recorded_code(tmp_path / "none.json")


def test_results_of_several_codes_record_all_of_them():
    a, b = CodeVersion("aaaaaaaaaaaa", "1"), CodeVersion("bbbbbbbbbbbb", "2")
    assert join_codes([a, a]) == a
    assert join_codes([a, CodeVersion(a.code, "3")]) == a, "another commit of the same code"
    both = CodeVersion("aaaaaaaaaaaa and bbbbbbbbbbbb", "1 and 2")
    assert join_codes([a, b]) == join_codes([join_codes([a, b]), b]) == both
    assert join_codes([UNKNOWN, a]).code == "unknown and aaaaaaaaaaaa"
