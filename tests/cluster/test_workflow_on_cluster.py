"""With `--profile slurm` a study runs as SLURM jobs and gives the same numbers."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr
import yaml
from checkout import ROOT
from slurm_cluster import run, wait_until

from scoresweep.pipeline.cluster.job_record import JobRecord
from scoresweep.pipeline.study import load_study, plan_study
from scoresweep.pipeline.study.batches import tasks_of
from scoresweep.pipeline.system.job_state import JobState

SNAKEMAKE = (sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"))
# More frequent status checks than are polite on a shared cluster.
FREQUENT_CHECKS = (
    "--scoresweep-slurm-init-seconds-before-status-checks=2",
    "--seconds-between-status-checks=2",
)
QUICK = (*FREQUENT_CHECKS, "--max-status-checks-per-second=1")
PATIENCE = 600
DAEMONS_THAT_ANSWER = ("slurmctld", "slurmdbd")


def default_study(metrics=("score_error", "frechet", "kid", "prdc", "nearest")):
    """The default study, shortened: one run, two settings."""
    study = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    study["train"] |= {"steps": 200, "log": {"images": 100}, "grid": {}}
    study["train"]["network"] |= {"width": 64, "blocks": 2}
    study["sample"] |= {"count": 100, "grid": {"sampler.step_size": [5e-4, 3e-3]}}
    study["evaluate"] = {"metrics": list(metrics), "extractors": ["pixels"], "resamplings": 2}
    return study


def own_study():
    """The default study with the network, sampler and metric of the example of a plugin."""
    study = default_study(
        metrics=("score_error", "frechet", "kid", "prdc", "nearest", "brightness")
    )
    study["plugins"] = ["my_methods.py"]
    study["train"] |= {"network": {"name": "SmallConv", "width": 8}, "precision": "no"}
    own = {"name": "heavy_ball", "step_size": 3e-3}
    study["sample"]["grid"] = {"sampler": [study["sample"]["sampler"] | {"step_size": 3e-3}, own]}
    return study


def work_folder(folder, study, data=None):
    """Make a folder with the study, its plugin, the unchanged profile and, if given, the data."""
    folder.mkdir(exist_ok=True)
    if data:
        shutil.copytree(data, folder / "data")
    shutil.copytree(ROOT / "slurm", folder / "slurm")
    for plugin in study.get("plugins", ()):
        shutil.copy(ROOT / "examples" / plugin, folder)
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    return folder


# Variables of users, sites and other programs.
SHELL = {
    "SQUEUE_FORMAT": "%j %u",
    "SQUEUE_STATES": "PENDING",
    "SQUEUE_PARTITION": "main",
    "SACCT_FORMAT": "jobid",
    "SINFO_FORMAT": "%n",
    "SLURM_TIME_FORMAT": "relative",
    "SCONTROL_ONELINER": "1",
    "SCANCEL_STATE": "PENDING",
    "SALLOC_PARTITION": "none",
    "SRUN_CPUS_PER_TASK": "9",
    "SBATCH_EXPORT": "NONE",
    "SLURM_EXPORT_ENV": "NONE",
    "SBATCH_ARRAY_INX": "0-1",
    "SBATCH_WAIT": "1",
    "SBATCH_TIMELIMIT": "1",
    "SBATCH_PARTITION": "short",  # the only one with an effect
    "WORLD_SIZE": "4",
    "RANK": "3",
    "LOCAL_RANK": "3",
    "MASTER_ADDR": "192.0.2.1",
    "ACCELERATE_MIXED_PRECISION": "fp16",
    "OMPI_COMM_WORLD_SIZE": "4",
    "PMI_SIZE": "4",
    "SUBMITIT_PREEMPT_SIGNAL": "USR1",
    "LC_ALL": "C",
    "TMPDIR": "/does/not/exist",
    "CDPATH": "/",
}


NOISE = re.compile("(?i)warning|never awaited|guess|invalid|unable|not allow|ignored env")
"""Words that must not appear in a clean shell, since users could do nothing about them."""


@contextlib.contextmanager
def started(folder, *arguments, shell=None):
    """Run `snakemake` in a folder during the block; its output goes to a file there.

    No environment is activated: the folder of this Python is not on the path.
    """
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(
            [*SNAKEMAKE, "--configfile", "study.yaml", *arguments],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"} | (shell or {}),
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def snakemake(folder, *arguments, shell=None):
    """Run `snakemake` to its end and return its output."""
    with started(folder, *arguments, shell=shell) as process:
        status = process.wait(PATIENCE)
    said = (folder / "output").read_text()
    assert status == 0, said
    return said


def on_slurm(folder, *arguments, shell=None):
    return snakemake(folder, "--profile", "slurm", *QUICK, *arguments, shell=shell)


def jobs_in_accounting(folder):
    """Wait for all jobs of the study; return (rule, id, state, nodes, partition) of each."""
    (runs,) = (folder / "results").glob("*/slurm_runs.txt")
    names = [line.split()[0] for line in runs.read_text().splitlines()]
    names += [JobRecord.read(path).name for path in (folder / "results").rglob("job.json")]
    form = "--format=comment%200,jobid,state,nnodes,partition"
    command = ("sacct", "--noheader", "--parsable2", "--allocations", form)

    def table():
        rows = run(*command, f"--name={','.join(names)}").stdout.splitlines()
        return [row.split("|") for row in rows]

    ends = ("COMPLETED", "FAILED")  # accounting lags behind the queue
    wait_until(lambda: all(state in ends for _, _, state, *_ in table()), "the last end")
    rules = re.compile("rule_(.*?)(_wildcards|$)")
    return [
        (match[1] if (match := rules.match(comment)) else "train", number, state, int(nodes), part)
        for comment, number, state, nodes, part in table()
    ]


KEPT = {"SBATCH_PARTITION", "LC_ALL", "TMPDIR", "CDPATH", "PMI_SIZE"}
"""Variables with an effect, and a variable of `srun`, which is ignored silently."""


@pytest.fixture(scope="module")
def on_cluster(cluster, tmp_path_factory):
    """A folder in which a study with a plugin has run on the cluster, with training on two nodes.

    The name of the folder and the variables of the shell break careless programs.
    """
    cluster.wait_idle()
    where = tmp_path_factory.mktemp("cluster") / 'my $HOME "work" `id` ü; 日本'
    folder = work_folder(where, own_study())
    said = on_slurm(folder, "--set-resources", "train:nodes=2", shell=SHELL)
    named = " ".join(line for line in said.splitlines() if line.startswith("ignored environment"))
    assert {name for name in SHELL if name in named} == SHELL.keys() - KEPT
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Data staged on this machine, and their features."""
    folder = work_folder(tmp_path_factory.mktemp("data") / "work", default_study())
    snakemake(folder, "--cores", "2", "--until", "reference")
    return folder / "data"


@pytest.fixture(scope="module")
def here(data, tmp_path_factory):
    """A folder in which the study has run on this machine, with training in two processes."""
    folder = work_folder(tmp_path_factory.mktemp("here") / "work", own_study(), data)
    processes = ("--set-resources", "train:processes=2")
    snakemake(folder, "--cores", "2", *processes, "--config", "settings_per_job=10")
    return folder


SPENT = ("images_per_second", "seconds", "devices")


def numbers(folder):
    """Return all numbers of the report except speed and cost."""
    (report,) = (folder / "results").glob("*/report.nc")
    with xr.open_datatree(report, engine="h5netcdf") as tree:
        return {
            f"{group}/{name}": values.values
            for group in tree.groups
            for name, values in tree[group].data_vars.items()
            if values.dtype.kind in "fi" and not str(name).endswith(SPENT)
        }


def test_every_job_is_in_the_accounting(on_cluster):
    """Once, and in the shell's default partition."""
    jobs = jobs_in_accounting(on_cluster)
    assert {(state, partition) for _, _, state, _, partition in jobs} == {("COMPLETED", "short")}
    assert sorted((rule, nodes) for rule, _, _, nodes, _ in jobs) == [
        ("reference", 1),
        ("report", 1),
        ("stage", 1),
        ("sweep", 1),  # of two settings and a score error
        ("train", 2),
    ]
    assert not any("_" in number for _, number, *_ in jobs)


def test_the_numbers_are_those_of_a_local_run(on_cluster, here):
    found, expected = numbers(on_cluster), numbers(here)
    assert found.keys() == expected.keys()
    assert len(found) > 30
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_nothing_is_run_twice(on_cluster):
    assert "Nothing to be done" in on_slurm(on_cluster, "--dry-run")


def test_a_job_that_fails_leaves_the_others(cluster, data, tmp_path):
    """Of three settings in two jobs, as the command line asks for instead of the profile."""
    study = default_study(metrics=["frechet"])
    study["sample"]["include"] = [{"sampler": {"name": "predictor_corrector", "snr": 1e30}}]
    folder = work_folder(tmp_path / "work", study, data)
    options = ("--profile", "slurm", *QUICK, "--retries=0", "--config", "settings_per_job=2")
    with started(folder, *options) as head:
        assert head.wait(PATIENCE) != 0
    said = (folder / "output").read_text()
    metrics = {path.name.split("_sampler")[0] for path in folder.glob("results/*/metrics/*/*.nc")}
    assert metrics == {"step_size=0.0005", "step_size=0.003"}, said
    ends = [(rule, state) for rule, _, state, *_ in jobs_in_accounting(folder) if rule == "sweep"]
    assert sorted(ends) == [("sweep", "COMPLETED"), ("sweep", "FAILED")]


def test_a_killed_batch_computes_only_what_is_missing(cluster, data, tmp_path):
    """Of the setting that it was drawing, only the missing chunks."""
    study = default_study(metrics=["frechet"])
    study["sample"] |= {"count": 200, "chunk": 20}
    study["sample"]["sampler"]["steps_per_level"] = 300
    folder = work_folder(tmp_path / "work", study, data)
    snakemake(folder, "--cores", "2", "--until", "train")
    plan = plan_study(load_study(folder / "study.yaml"), folder)
    run, (finished, killed) = plan.runs[0].id, map(plan.setting, tasks_of(plan, plan.runs[0]))
    progress = plan.paths.samples_progress(run, killed.store)

    def chunks():
        """Return the inode of each chunk."""
        files = plan.paths.chunk_folder(run, killed.store).glob("chunk-*.safetensors")
        return {path.name: path.stat().st_ino for path in files}

    with started(folder, "--profile", "slurm", *QUICK, "--until", "sweep") as head:
        wait_until(lambda: len(chunks()) >= 2, "two chunks", PATIENCE)
        os.kill(JobState.read(progress).pid, signal.SIGKILL)
        kept = chunks()
        assert len(kept) < 10
        drawn = plan.paths.samples(run, finished.store).stat().st_ino
        measured = plan.paths.metrics(run, finished.id).stat().st_ino
        wait_until(lambda: JobState.read(progress).restarts == 1, "the second start", PATIENCE)
        assert kept.items() <= chunks().items()
        assert head.wait(PATIENCE) == 0, (folder / "output").read_text()
    assert plan.paths.metrics(run, killed.id).exists()
    assert plan.paths.samples(run, finished.store).stat().st_ino == drawn
    assert plan.paths.metrics(run, finished.id).stat().st_ino == measured
    ends = [state for rule, _, state, *_ in jobs_in_accounting(folder) if rule == "sweep"]
    assert sorted(ends) == ["COMPLETED", "FAILED"]


def test_successive_halving_after_a_killed_job(cluster, tmp_path):
    """A job of the second count is killed while it draws; the choice stays as it was."""
    study = default_study(metrics=["frechet"])
    study["sample"]["sampler"]["steps_per_level"] = 100
    study["sample"] |= {"count": 200, "chunk": 20}
    study["sample"]["grid"] = {"sampler.step_size": [5e-4, 1e-3, 3e-3]}
    study["sample"]["halving"] = {"measure": "frechet_pixels", "counts": [20], "keep": 0.5}
    folder = work_folder(tmp_path / "work", study)
    snakemake(folder, "--cores", "2", "--until", "train")
    plan = plan_study(load_study(folder / "study.yaml"), folder)
    run, killed = plan.runs[0].id, []
    choice = plan.paths.halving_choice(run, 200)

    def drawing():
        """Return the progress of a setting that is drawn beyond the first count."""
        if not choice.exists():
            return None
        states = (JobState.read(plan.paths.samples_progress(run, s.store)) for s in plan.settings)
        return next((s for s in states if s and s.state == "running" and s.step >= 2), None)

    with started(folder, "--profile", "slurm", *QUICK) as head:
        wait_until(lambda: killed.append(drawing()) or killed[-1], "the second count", PATIENCE)
        os.kill(killed[-1].pid, signal.SIGKILL)
        chosen = choice.read_bytes()
        assert head.wait(PATIENCE) == 0, (folder / "output").read_text()
    assert choice.read_bytes() == chosen
    with xr.open_dataset(plan.paths.report, group="sampling", engine="h5netcdf") as sampling:
        assert sorted(sampling["count"].values.tolist()) == [20, 200, 200]
    ends = [state for rule, _, state, *_ in jobs_in_accounting(folder) if rule == "sweep"]
    assert sorted(ends) == ["COMPLETED", "COMPLETED", "FAILED"]


def test_a_partition_and_an_account_in_the_profile_are_used(cluster, tmp_path):
    folder = work_folder(tmp_path / "work", default_study())
    profile = folder / "slurm/config.yaml"
    text = profile.read_text()
    for name, value in (("partition", "short"), ("account", "root")):
        assert f"# - slurm_{name}=NAME" in text
        text = text.replace(f"# - slurm_{name}=NAME", f"- slurm_{name}={value}")
    profile.write_text(text)
    assert not NOISE.search(on_slurm(folder, "--until", "train"))
    (record,) = (JobRecord.read(path) for path in folder.rglob("job.json"))
    (runs,) = (folder / "results").glob("*/slurm_runs.txt")
    names = f"--name={record.name},{runs.read_text().split()[0]}"
    form = ("--noheader", "--parsable2", "--allocations", "--format=partition,account")
    assert run("sacct", names, *form).stdout.splitlines() == ["short|root"] * 2


def test_a_minute_without_an_answer_is_waited_for(cluster, data, tmp_path):
    """Neither the controller nor the accounting answers while the training ends."""
    folder = work_folder(tmp_path / "work", default_study(), data)
    said = folder / "output"
    with started(folder, "--profile", "slurm", *FREQUENT_CHECKS, "--until", "sweep") as head:
        wait_until(lambda: "RUNNING" in said.read_text(), "the training", PATIENCE)
        for daemon in DAEMONS_THAT_ANSWER:
            cluster.pause(daemon)
        try:
            time.sleep(60)
        finally:
            for daemon in DAEMONS_THAT_ANSWER:
                cluster.resume(daemon)
        assert head.wait(PATIENCE) == 0, said.read_text()
    assert "SLURM does not answer; waiting" in said.read_text()
    assert len(list(folder.glob("results/*/metrics/*/step_size=*.nc"))) == 2
