"""The workflow as people run it: `snakemake` on a study, again, and after a change."""

import csv
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from checkout import ROOT
from tiny_study import TINY, give_data

from scoresweep.pipeline.study import load_study

COMMAND = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
COMMAND += ["--cores", "2", "--configfile"]
# No environment is activated: rules find `scoresweep` beside the Python that runs Snakemake.
HERE = str(Path(sys.executable).parent)
PATHS = [path for path in os.environ["PATH"].split(os.pathsep) if path != HERE]
ENVIRONMENT = os.environ | {
    "PATH": os.pathsep.join(PATHS),
    "SQUEUE_FORMAT": "%j",
    "WORLD_SIZE": "4",
}


def snakemake(folder, *arguments, study="study.yaml"):
    return subprocess.run(
        [*COMMAND, study, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )


def planned(folder, *targets, study="study.yaml"):
    """Count the jobs that a dry run plans, rule by rule."""
    output = snakemake(folder, "--dry-run", *targets, study=study)
    assert output.returncode == 0, output.stderr
    table = re.search(r"job +count\n-+  -+\n(.*?)\n\n", output.stdout + output.stderr, re.DOTALL)
    if table is None:
        assert "Nothing to be done" in output.stdout + output.stderr
        return {}
    rows = [line.split() for line in table[1].splitlines()]
    return {rule: int(count) for rule, count in rows if rule not in ("all", "outdated", "total")}


@pytest.fixture(scope="module")
def finished(staged, tmp_path_factory):
    """A folder in which the tiny study has run."""
    folder = tmp_path_factory.mktemp("finished")
    give_data(folder, staged)
    (folder / "study.yaml").write_text(TINY)
    assert planned(folder) == {
        "reference": 1,
        "train": 2,
        "score_error": 2,
        "sample": 4,
        "evaluate": 4,
        "report": 1,
    }
    ended = snakemake(folder)
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of it, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "copy", symlinks=True))


def test_the_default_study_plans_all_of_its_jobs(tmp_path):
    # Not in the checkout, where the study may have run.
    jobs = planned(tmp_path, study=str(ROOT / "config" / "config.yaml"))
    expected = {"stage": 1, "reference": 2, "train": 4, "score_error": 4, "report": 1}
    assert jobs == expected | {"sample": 12, "evaluate": 12}


def test_a_study_ends_in_a_report(finished):
    with xr.open_datatree(finished / "results/tiny/report.nc", engine="h5netcdf") as report:
        frechet = report["sampling/frechet_pixels"]
        assert set(frechet.dims) == {"seed", "step_size"}
        assert frechet.step_size.values.tolist() == [2e-3, 4e-3]
        assert bool((frechet > 0).all())
        assert set(report["score_error"].sizes) >= {"seed", "level", "split"}
        assert report["training/loss"].sizes["step"] == 5
    assert (finished / "results/tiny/report.html").stat().st_size > 10_000
    with (finished / "results/tiny/metrics.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert {row["metric"] for row in rows} >= {"frechet_pixels"}


def test_nothing_half_written_is_left(finished):
    left = [p for p in (finished / "results").rglob("*") if ".part" in p.name]
    assert left == []


def test_a_second_run_does_nothing(finished):
    assert planned(finished) == {}


def test_a_renamed_study_file_runs_nothing(folder):
    (folder / "study.yaml").rename(folder / "renamed.yaml")
    assert planned(folder, study="renamed.yaml") == {}


def test_one_more_step_size_runs_its_samples_and_evaluations_alone(folder):
    study = folder / "study.yaml"
    study.write_text(TINY.replace("[2e-3, 4e-3]", "[2e-3, 3e-3, 4e-3]"))
    assert planned(folder) == {"sample": 2, "evaluate": 2, "report": 1}


def test_one_more_axis_keeps_what_is_finished(folder):
    text = TINY.replace("{seed: [0, 1]}", "{seed: [0, 1], noise.levels: [5, 7]}")
    (folder / "study.yaml").write_text(text)
    assert planned(folder) == {
        "train": 2,
        "score_error": 2,
        "sample": 4,
        "evaluate": 4,
        "report": 1,
    }


def test_one_more_metric_measures_again_and_draws_nothing(folder):
    (folder / "study.yaml").write_text(TINY.replace("[score_error, frechet]", "[frechet, kid]"))
    assert planned(folder) == {"evaluate": 4, "report": 1}


def test_what_ends_after_its_snakemake_was_killed_is_not_done_again(folder):
    results = folder / "results/tiny"
    (log,) = (results / "logs/sample").glob("seed=0*/step_size=0.002*.log")
    manifest = results / "samples" / log.parent.name / f"{log.stem}.json"
    metrics = results / "metrics" / log.parent.name / f"{log.stem}.nc"
    shutil.rmtree(manifest.with_suffix(".zarr"))
    copy = manifest.with_name(f".{log.stem}.manifest")
    for path in (log, manifest, copy, metrics, results / "report.nc"):
        path.unlink()
    command = [*COMMAND, "study.yaml", "--until", "sample"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, **quiet) as head:
        while not log.exists():
            assert head.poll() is None
            time.sleep(0.01)
        head.kill()
    while not manifest.exists():
        time.sleep(0.1)
    assert snakemake(folder, "--unlock").returncode == 0
    assert planned(folder) == {"evaluate": 1, "report": 1}


def test_samples_whose_manifest_snakemake_has_deleted_are_not_drawn_again(folder):
    manifest = next((folder / "results/tiny/samples").glob("*/step_size*[0-9a-f].json"))
    content, drawn = manifest.read_text(), manifest.with_suffix(".zarr").stat()
    manifest.unlink()
    assert snakemake(folder, "--", str(manifest.relative_to(folder))).returncode == 0
    assert manifest.read_text() == content
    assert manifest.with_suffix(".zarr").stat().st_ino == drawn.st_ino


def test_a_deleted_result_is_made_again(folder):
    next((folder / "results/tiny/metrics").glob("*/step_size*.nc")).unlink()
    (folder / "results/tiny/report.nc").unlink()
    assert planned(folder) == {"evaluate": 1, "report": 1}


def test_a_setting_that_fails_leaves_the_others_and_is_named_in_the_report(folder, scoresweep):
    grid = "grid: {sampler.step_size: [2e-3, 3e-3, 4e-3]}"
    include = "include: [{sampler: {name: predictor_corrector, snr: 1e30}}]"
    text = TINY.replace("grid: {sampler.step_size: [2e-3, 4e-3]}", f"{grid}\n  {include}")
    (folder / "study.yaml").write_text(text)
    ended = snakemake(folder, "--keep-going")
    assert ended.returncode != 0
    assert "are not finite from level 1 on" in ended.stdout + ended.stderr
    assert planned(folder) == {"sample": 2, "evaluate": 2, "report": 1}  # that, for two seeds
    reported = scoresweep("report", "study.yaml", cwd=folder)
    assert reported.returncode == 0, reported.stderr
    with xr.open_datatree(folder / "results/tiny/report.nc", engine="h5netcdf") as report:
        frechet = report["sampling/frechet_pixels"]
        state = report["sampling/state"]
        assert int(frechet.notnull().sum()) == 6
        failed = state.sel(sampler="predictor_corrector(snr=1e+30)") == "failed"
        assert int(failed.sum()) == int((state == "failed").sum()) == 2
    page = (folder / "results/tiny/report.html").read_text()
    assert "snr=1e+30" in page
    shown = scoresweep("status", "study.yaml", cwd=folder)
    assert shown.returncode == 0
    assert "failed" in shown.stdout + shown.stderr


def test_a_wrong_study_ends_before_any_job(tmp_path):
    (tmp_path / "study.yaml").write_text(TINY.replace("steps: 120", "stepps: 120"))
    ended = snakemake(tmp_path)
    assert ended.returncode != 0
    assert "study.yaml: train.stepps: 120: is not a known key" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "results").exists()


def test_a_misspelt_study_file_is_named(tmp_path):
    ended = snakemake(tmp_path, study="none.yaml")
    assert ended.returncode != 0
    assert "none.yaml" in ended.stderr
    assert not (tmp_path / "results").exists()


def test_options_that_would_be_ignored_are_refused(tmp_path):
    for name in ("study", "other"):
        (tmp_path / f"{name}.yaml").write_text(TINY)
    for option, named in ((["--config", "count=1"], "--config count"), (["other.yaml"], "other.y")):
        ended = snakemake(tmp_path, *option, "--dry-run")
        assert ended.returncode != 0
        assert named in ended.stdout + ended.stderr


def test_snakemake_writes_its_own_report_without_a_network(finished, tmp_path):
    page = tmp_path / "snakemake.html"
    ended = snakemake(finished, "--report", str(page))
    assert ended.returncode == 0, ended.stderr
    assert page.stat().st_size > 100_000


def test_own_data_that_has_changed_is_staged_again(tmp_path):
    data, draw = tmp_path / "own.npy", np.random.default_rng(0)
    np.save(data, draw.normal(size=(40, 2)).astype(np.float32))
    text = TINY.replace("{name: digits}", f"{{name: array, path: {data}}}")
    (tmp_path / "study.yaml").write_text(text)
    (dataset,) = load_study(tmp_path / "study.yaml").dataset
    target = f"data/{dataset.id}.json"
    assert snakemake(tmp_path, "--", target).returncode == 0
    assert planned(tmp_path, target) == {}
    np.save(data, draw.normal(size=(40, 2)).astype(np.float32))
    os.utime(data, (time.time() + 5, time.time() + 5))
    assert planned(tmp_path, target) == {"stage": 1}


@pytest.mark.parametrize(("extractor", "minutes"), [("pixels", 60), ("inception_antialias", 240)])
def test_only_inception_asks_for_hours(staged, tmp_path, extractor, minutes):
    """More than a partition allows would wait for ever."""
    give_data(tmp_path, staged)
    study = TINY.replace("extractors: [pixels]", f"extractors: [{extractor}]")
    (tmp_path / "study.yaml").write_text(study)
    ended = snakemake(
        tmp_path, "--dry-run", "--default-resources", "runtime=60", "--until", "reference"
    )
    said = ended.stdout + ended.stderr
    assert re.search(r"rule reference:.*?resources:[^\n]*\bruntime=(\d+)", said, re.DOTALL)[
        1
    ] == str(minutes)
