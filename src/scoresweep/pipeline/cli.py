"""The command line: one command per stage of a study, and commands that look at one.

What a command needs beyond the study file is imported inside it, so that `--help` is quick.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal

import typer

from scoresweep.pipeline.cluster.environment import remove_launcher_variables
from scoresweep.pipeline.errors import RunError, ScoresweepError
from scoresweep.pipeline.study import Plan, load_study, plan_study
from scoresweep.pipeline.system.console import say

__all__ = ["app", "main"]

app = typer.Typer(
    name="scoresweep",
    help="Ablation studies of noise-conditional score networks.\n\n"
    "A study is one YAML file. `snakemake --cores 2 --configfile STUDY` runs all of it; the "
    "commands below are its steps, in the order in which they are run, and ways to look at it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

StudyFile = Annotated[Path, typer.Argument(help="The study file (YAML).", show_default=False)]
Root = Annotated[Path, typer.Option(help="Folder that holds data/ and results/.")]
RunId = Annotated[str | None, typer.Option("--run", help="Id of the run; all where left out.")]
SettingId = Annotated[
    str | None, typer.Option("--setting", help="Id of the sampler setting; all where left out.")
]
DatasetId = Annotated[
    str | None, typer.Option("--dataset", help="Id of the dataset; all where left out.")
]
Processes = Annotated[int, typer.Option(min=1, help="Processes (on each node).")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads of each process.")]
Gpu = Annotated[int, typer.Option("--gpus", min=0, max=1, help="1: a GPU computes; 0: CPU.")]
Gpus = Annotated[int, typer.Option(min=0, help="GPUs (on each node); 0: CPU.")]
ThisCode = Annotated[
    bool, typer.Option("--this-code", help="Make it again if other code has made it.")
]

STEPS = "Steps of a study"
LOOK = "Look at a study"


def _plan(study: Path, root: Path) -> Plan:
    return plan_study(load_study(study), root, where=str(study))


def _runs(plan: Plan, run: str | None) -> list[str]:
    return [plan.run(run).id] if run else [r.id for r in plan.runs]


def _settings(plan: Plan, setting: str | None) -> list[str]:
    return [plan.setting(setting).id] if setting else [s.id for s in plan.settings]


def _datasets(plan: Plan, dataset: str | None) -> list[str]:
    return [plan.dataset(dataset).id] if dataset else [d.id for d in plan.study.dataset]


@app.command(rich_help_panel=STEPS)
def stage(
    study: StudyFile, dataset: DatasetId = None, this_code: ThisCode = False, root: Root = Path()
) -> None:
    """Fetch a dataset, check it and write it as a sharded Zarr store; fetch extractors' weights."""
    from scoresweep.pipeline.evaluation.extractor_weights import fetch_weights
    from scoresweep.pipeline.rules.stage import stage as run_stage

    plan = _plan(study, root)
    fetch_weights(plan)
    for name in _datasets(plan, dataset):
        run_stage(plan, name, this_code=this_code)


@app.command(rich_help_panel=STEPS)
def reference(
    study: StudyFile,
    dataset: DatasetId = None,
    extractor: Annotated[
        str | None, typer.Option(help="Feature extractor; all of the study where left out.")
    ] = None,
    gpus: Gpu = 0,
    threads: Threads = 1,
    root: Root = Path(),
) -> None:
    """Compute the features of the real samples, with which samples are compared."""
    from scoresweep.pipeline.rules.reference import reference as run_reference

    plan = _plan(study, root)
    _set_up_process(threads)
    for name in _datasets(plan, dataset):
        for one in [plan.extractor(extractor)] if extractor else plan.extractors:
            run_reference(plan, name, one, gpus)


@app.command(rich_help_panel=STEPS)
def train(
    study: StudyFile,
    run: RunId = None,
    cluster: Annotated[
        Literal["local", "slurm"], typer.Option(help="Where the processes are started.")
    ] = "local",
    nodes: Annotated[int, typer.Option(min=1, help="Nodes (SLURM).")] = 1,
    processes: Processes = 1,
    gpus: Gpus = 0,
    threads: Threads = 1,
    minutes: Annotated[
        int, typer.Option(min=1, help="Time limit (SLURM); the run saves and queues again.")
    ] = 240,
    memory: Annotated[
        int | None, typer.Option(min=1, help="Memory on each node, in MB (SLURM).")
    ] = None,
    partition: Annotated[str | None, typer.Option(help="Partition (SLURM).")] = None,
    account: Annotated[str | None, typer.Option(help="Account (SLURM).")] = None,
    extra: Annotated[
        str, typer.Option(help="Further options of sbatch: '--qos=long --exclusive'.")
    ] = "",
    this_code: ThisCode = False,
    root: Root = Path(),
) -> None:
    """Train a network; goes on from its newest checkpoint, or waits for its SLURM job."""
    from scoresweep.pipeline.cluster import Resources
    from scoresweep.pipeline.rules.train import train as run_train

    plan = _plan(study, root)
    resources = Resources(
        cluster, nodes, processes, gpus, threads, minutes, memory, partition, account, extra
    )
    for name in _runs(plan, run):
        run_train(plan, name, resources, this_code=this_code)


@app.command("import-checkpoint", rich_help_panel=STEPS)
def import_checkpoint(
    study: StudyFile,
    file: Annotated[Path, typer.Argument(help="The checkpoint (.pth).", show_default=False)],
    run: Annotated[str, typer.Option("--run", help="Id of the run that gets the weights.")],
    ema: Annotated[
        bool, typer.Option(help="Take the averaged parameters, where there are any.")
    ] = True,
    root: Root = Path(),
) -> None:
    """Instead of training, take weights that the public NCSN or NCSNv2 program wrote."""
    from scoresweep.pipeline.rules.import_checkpoint import import_checkpoint as run_import

    run_import(_plan(study, root), run, file, ema)


@app.command("score-error", rich_help_panel=STEPS)
def score_error(
    study: StudyFile,
    run: RunId = None,
    gpus: Gpu = 0,
    threads: Threads = 1,
    this_code: ThisCode = False,
    root: Root = Path(),
) -> None:
    """Measure a trained network against the exact score, level by level."""
    from scoresweep.pipeline.results.examine import is_measured
    from scoresweep.pipeline.rules.score_error import score_error as run_score_error

    plan = _plan(study, root)
    _set_up_process(threads)
    for name in _runs(plan, run):
        if plan.measures_score_error and is_measured(plan, name, this_code=this_code):
            say(f"the score error of {name} is measured already")
        else:
            run_score_error(plan, name, gpus)


@app.command(rich_help_panel=STEPS)
def sample(
    study: StudyFile,
    run: RunId = None,
    setting: SettingId = None,
    processes: Processes = 1,
    gpus: Gpus = 0,
    threads: Threads = 1,
    this_code: ThisCode = False,
    root: Root = Path(),
) -> None:
    """Draw the samples of a setting from a trained network."""
    from scoresweep.pipeline.rules.sample import sample as run_sample

    plan = _plan(study, root)
    for name in _runs(plan, run):
        for one in _settings(plan, setting):
            run_sample(plan, name, one, processes, threads, gpus, this_code=this_code)


@app.command(rich_help_panel=STEPS)
def evaluate(
    study: StudyFile,
    run: RunId = None,
    setting: SettingId = None,
    gpus: Gpu = 0,
    threads: Threads = 1,
    this_code: ThisCode = False,
    root: Root = Path(),
) -> None:
    """Compute every metric of the samples of a setting; one that cannot be measured is named."""
    from scoresweep.pipeline.results.examine import is_measured
    from scoresweep.pipeline.rules.evaluate import evaluate as run_evaluate

    plan = _plan(study, root)
    _set_up_process(threads)
    pairs = [(name, one) for name in _runs(plan, run) for one in _settings(plan, setting)]
    failed = []
    for name, one in pairs:
        if is_measured(plan, name, one, this_code=this_code):
            say(f"{name} / {one}: measured already")
            continue
        try:
            run_evaluate(plan, name, one, gpus)
        except ScoresweepError as error:
            if len(pairs) == 1:
                raise
            say(f"{name} / {one}: not measured: {error}")
            failed.append(f"{name} / {one}")
    if failed:
        raise RunError(
            f"{len(failed)} of {len(pairs)} settings could not be measured, for the reasons above: "
            f"{', '.join(failed)}"
        )


@app.command(rich_help_panel=STEPS)
def report(study: StudyFile, root: Root = Path()) -> None:
    """Gather what is finished into report.nc, metrics.csv and report.html."""
    from scoresweep.pipeline.rules.report import report as run_report

    run_report(_plan(study, root))


@app.command(rich_help_panel=LOOK)
def plan(
    study: StudyFile,
    probe: Annotated[
        bool, typer.Option(help="Measure a few steps where no earlier run tells the cost.")
    ] = True,
    root: Root = Path(),
) -> None:
    """Print what a study will run, how many files it makes and what it will cost."""
    from scoresweep.pipeline.commands.plan import estimate
    from scoresweep.pipeline.study.size_checks import check_staged

    made = _plan(study, root)
    check_staged(made, str(study))
    estimate(made, probe=probe)


@app.command(rich_help_panel=LOOK)
def status(study: StudyFile, root: Root = Path()) -> None:
    """Show how far each run and each setting is, while a study runs and after it."""
    from scoresweep.pipeline.commands.status import status as show_status

    show_status(_plan(study, root))


@app.command(rich_help_panel=LOOK)
def compare(
    a: Annotated[Path, typer.Argument(help="report.nc of a study.", show_default=False)],
    b: Annotated[Path, typer.Argument(help="report.nc of another.", show_default=False)],
    measure: Annotated[
        list[str] | None,
        typer.Option(help="Measure by which settings are listed; may be given several times."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="CSV file for every setting by every measure.")
    ] = None,
) -> None:
    """Set the reports of two studies side by side, setting by setting."""
    from scoresweep.pipeline.commands.compare import compare as compare_reports

    compare_reports(a, b, measure or (), output)


@app.command(rich_help_panel=LOOK)
def cancel(study: StudyFile, root: Root = Path()) -> None:
    """Stop the SLURM jobs of a study and the `snakemake` that submits them."""
    from scoresweep.pipeline.commands.cancel import cancel as cancel_jobs

    cancel_jobs(_plan(study, root))


@app.command(rich_help_panel=LOOK)
def rename(
    study: StudyFile,
    name: Annotated[str, typer.Argument(help="The new name.", show_default=False)],
    root: Root = Path(),
) -> None:
    """Give a study another name, in its file and for its results; nothing is computed again."""
    from scoresweep.pipeline.commands.rename import rename as rename_study

    rename_study(_plan(study, root), study, name)


@app.command(rich_help_panel=LOOK)
def schema() -> None:
    """Print the JSON schema of a study file."""
    from scoresweep.pipeline.commands.schema import study_schema

    typer.echo(json.dumps(study_schema(), indent=2, ensure_ascii=False))


def _set_up_process(threads: int) -> None:
    from scoresweep.pipeline.system.process import set_up_process

    set_up_process(threads)


def _end(number: int, _frame: FrameType | None) -> None:
    """On SIGTERM, leave as on Ctrl-C: what was started is asked to stop."""
    raise SystemExit(128 + number)


def main() -> None:
    """Run the command line; 0 done, 1 failed while running, 2 wrong input."""
    signal.signal(signal.SIGTERM, _end)
    remove_launcher_variables()
    try:
        app()
    except ScoresweepError as error:
        say(f"Error: {error}")
        sys.exit(error.exit_code)
    except FileNotFoundError as error:
        say(
            f"Error: {error.filename or error}: was deleted while it was needed; run the same "
            f"command again, and it names what is missing or makes it"
        )
        sys.exit(1)
    except OSError as error:
        say(f"Error: {error.filename or 'a file'}: {error.strerror or error}")
        sys.exit(1)
    except KeyboardInterrupt:
        say("Stopped.")
        sys.exit(130)
