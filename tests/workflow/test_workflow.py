"""`snakemake` on a tiny study: the first run, the second, and runs after a change."""

import contextlib
import csv
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import xarray as xr
from checkout import ROOT
from forked import call
from tiny_study import TINY, give_data

pytestmark = pytest.mark.xdist_group("workflow")  # one worker, so that the study runs once

STUDY = TINY.replace("seed: [0, 1]", "seed: [0]").replace("[2e-3, 4e-3]", "[2e-3]")
OPTIONS = ("--snakefile", str(ROOT / "Snakefile"), "--cores", "2", "--configfile")
COMMAND = [sys.executable, "-m", "snakemake", *OPTIONS]
# No environment is activated: rules find `scoresweep` next to the Python that runs Snakemake.
BIN = str(Path(sys.executable).parent)
PATHS = [path for path in os.environ["PATH"].split(os.pathsep) if path != BIN]
ENVIRONMENT = os.environ | {
    "PATH": os.pathsep.join(PATHS),
    "SQUEUE_FORMAT": "%j",
    "WORLD_SIZE": "4",
}


def snakemake(folder, *arguments, study="study.yaml"):
    if "--dry-run" in arguments:
        return call("snakemake.cli:main", *OPTIONS, study, *arguments, cwd=folder, env=ENVIRONMENT)
    return subprocess.run(
        [*COMMAND, study, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )


def planned(folder, *targets, study="study.yaml"):
    """Return the number of jobs of each rule in a dry run."""
    ended = snakemake(folder, "--dry-run", *targets, study=study)
    output = ended.stdout + ended.stderr
    assert ended.returncode == 0, output
    table = re.search(r"job +count\n-+  -+\n(.*?)\n\n", output, re.DOTALL)
    if table is None:
        assert "Nothing to be done" in output
        return {}
    rows = [line.split() for line in table[1].splitlines()]
    return {rule: int(count) for rule, count in rows if rule not in ("all", "outdated", "total")}


@pytest.fixture(scope="module")
def finished(staged, tmp_path_factory):
    """A folder in which the study has run."""
    folder = tmp_path_factory.mktemp("finished")
    give_data(folder, staged)
    (folder / "study.yaml").write_text(STUDY)
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
    assert jobs == {"stage": 1, "reference": 2, "train": 4, "sweep": 4, "report": 1}
    few = ("--config", "settings_per_job=3")  # of 4 settings of each run, and its score error
    assert planned(tmp_path, *few, study=str(ROOT / "config" / "config.yaml"))["sweep"] == 8


def test_a_study_ends_in_a_report(finished):
    with xr.open_datatree(finished / "results/tiny/report.nc", engine="h5netcdf") as report:
        frechet = report["sampling/frechet_pixels"]
        assert set(frechet.dims) == {"seed", "step_size"}
        assert frechet.step_size.values.tolist() == [2e-3]
        assert bool((frechet > 0).all())
        assert set(report["score_error"].sizes) >= {"seed", "level", "split"}
        assert report["training/loss"].sizes["step"] == 5
    assert (finished / "results/tiny/report.html").stat().st_size > 10_000
    with (finished / "results/tiny/metrics.csv").open() as table:
        assert "frechet_pixels" in {row["metric"] for row in csv.DictReader(table)}
    assert not [path for path in (finished / "results").rglob("*") if ".part" in path.name]


def test_a_second_run_under_another_file_name_does_nothing(folder):
    (folder / "study.yaml").rename(folder / "renamed.yaml")
    assert planned(folder, study="renamed.yaml") == {}


def test_an_added_point_computes_that_point(folder):
    text = STUDY.replace("seed: [0]", "seed: [0, 1]").replace("[2e-3]", "[2e-3, 3e-3]")
    (folder / "study.yaml").write_text(text)
    jobs = planned(folder)
    assert jobs == {"train": 1, "sweep": 3, "report": 1}  # of the finished run, one batch of two


def test_a_failed_setting_is_named_and_the_report_covers_the_rest(folder, scoresweep):
    grid = "grid: {sampler.step_size: [2e-3]}"
    include = "include: [{sampler: {name: predictor_corrector, snr: 1e30}}]"
    (folder / "study.yaml").write_text(STUDY.replace(grid, f"{grid}\n  {include}"))
    ended = snakemake(folder, "--keep-going")
    assert ended.returncode != 0
    assert "are not finite from level 1 on" in ended.stdout + ended.stderr
    reported = scoresweep("report", "study.yaml", cwd=folder)
    assert reported.returncode == 0, reported.stderr
    with xr.open_datatree(folder / "results/tiny/report.nc", engine="h5netcdf") as report:
        assert int(report["sampling/frechet_pixels"].notnull().sum()) == 1
        state = report["sampling/state"]
        failed = state.sel(sampler="predictor_corrector(snr=1e+30)") == "failed"
        assert int(failed.sum()) == int((state == "failed").sum()) == 1
    assert "snr=1e+30" in (folder / "results/tiny/report.html").read_text()


@pytest.mark.slow
def test_a_job_that_outlives_its_snakemake_is_not_run_again(folder):
    results = folder / "results/tiny"
    (metrics,) = (results / "metrics").glob("seed=0*/step_size=0.002*.nc")
    for path in (metrics, results / "report.nc"):
        path.unlink()
    shutil.rmtree(results / "batches")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [*COMMAND, "study.yaml", "--until", "sweep"]
    with subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, **quiet) as head:
        while not list((results / "batches").rglob("*.progress.json")):
            assert head.poll() is None
            time.sleep(0.01)
        head.kill()
    while not metrics.exists():
        time.sleep(0.1)
    assert snakemake(folder, "--unlock").returncode == 0
    assert planned(folder) == {"report": 1}


def test_the_size_of_batches_reruns_nothing(folder):
    for size in (1, 2, 100):
        assert planned(folder, "--config", f"settings_per_job={size}") == {}


@pytest.mark.parametrize("size", ["0", "-1", "2.5", "many", "true", ""])
def test_a_wrong_size_of_batches_is_refused(tmp_path, size):
    (tmp_path / "study.yaml").write_text(STUDY)
    ended = snakemake(tmp_path, "--dry-run", "--config", f"settings_per_job={size}")
    assert ended.returncode == 1
    assert "settings_per_job=" in ended.stdout + ended.stderr


def test_a_wrong_study_ends_before_any_job(tmp_path):
    (tmp_path / "study.yaml").write_text(STUDY.replace("steps: 120", "stepps: 120"))
    ended = snakemake(tmp_path)
    assert ended.returncode != 0
    assert "study.yaml: train.stepps: 120" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "results").exists()


def test_options_that_would_have_no_effect_are_refused(tmp_path):
    for name in ("study", "other"):
        (tmp_path / f"{name}.yaml").write_text(STUDY)
    for option, named in ((["--config", "count=1"], "--config count"), (["other.yaml"], "other.y")):
        ended = snakemake(tmp_path, *option, "--dry-run")
        assert ended.returncode != 0
        assert named in ended.stdout + ended.stderr


@pytest.mark.parametrize("option", ["--set-resources=sample:gpu=1", "--set-threads=evaluate=2"])
def test_options_of_rules_that_do_not_exist_are_refused(tmp_path, option):
    (tmp_path / "study.yaml").write_text(STUDY)
    ended = snakemake(tmp_path, option, "--dry-run")
    assert ended.returncode == 1
    assert "sweep" in ended.stdout + ended.stderr


@pytest.mark.slow
def test_snakemake_writes_its_own_report_without_a_network(finished, tmp_path):
    page = tmp_path / "snakemake.html"
    ended = snakemake(finished, "--report", str(page))
    assert ended.returncode == 0, ended.stderr
    assert page.stat().st_size > 100_000


@pytest.mark.slow
def test_the_run_time_of_a_batch_grows_with_its_due_tasks(folder):
    """A sixth of the default for each task after the first; finished tasks do not count."""

    def minutes(*options):
        ended = snakemake(folder, "--dry-run", "--default-resources", "runtime=60", *options)
        found = re.findall(r"rule sweep:.*?resources:.*?runtime=(\d+)", ended.stdout, re.DOTALL)
        return [int(number) for number in found]

    results = folder / "results/tiny"
    next((results / "metrics").glob("*/step_size*.nc")).unlink()
    assert minutes("--config", "settings_per_job=2") == [60]
    shutil.rmtree(results / "metrics")
    assert minutes("--config", "settings_per_job=2") == [70]
    assert minutes("--config", "settings_per_job=1") == [60, 60]
    assert minutes("--set-resources", "sweep:runtime=5") == [5, 5]


@pytest.mark.slow
def test_inception_requests_hours(staged, tmp_path):
    """Other extractors ask for the default run time: a partition may not allow more."""
    give_data(tmp_path, staged)
    for extractor, minutes in (("pixels", "60"), ("inception_antialias", "240")):
        study = STUDY.replace("extractors: [pixels]", f"extractors: [{extractor}]")
        (tmp_path / "study.yaml").write_text(study)
        options = ("--default-resources", "runtime=60", "--until", "reference")
        ended = snakemake(tmp_path, "--dry-run", *options)
        said = ended.stdout + ended.stderr
        resources = re.search(r"rule reference:.*?resources:([^\n]*)", said, re.DOTALL)
        assert f"runtime={minutes}" in resources[1]


@pytest.mark.slow
def test_a_killed_command_is_reported_as_out_of_memory(folder):
    shutil.rmtree(folder / "results/tiny/samples")
    started = subprocess.Popen(
        [*COMMAND, "study.yaml"], cwd=folder, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    while not (samplers := [p for p in children(started.pid) if "sweep" in p.cmdline()[2:3]]):
        assert started.poll() is None
        time.sleep(0.05)
    samplers[0].kill()
    _, errors = started.communicate()
    assert started.returncode == 1
    assert "out of memory" in errors


def children(pid):
    """Return the processes below `pid` that still run."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.cmdline()
            found.append(process)
    return found
