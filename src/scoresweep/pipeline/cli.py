"""The command line interface: the steps of a study, and commands that inspect or manage one.

Commands import what they need when they run, so that `--help` is fast.
"""

from __future__ import annotations

import json
import signal
import sys
from functools import cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

import scoresweep
from scoresweep.pipeline.cluster.environment import remove_launcher_variables
from scoresweep.pipeline.errors import InputError, RunError, ScoresweepError
from scoresweep.pipeline.system.console import say

if TYPE_CHECKING:
    from scoresweep.pipeline.study import Plan

__all__ = ["app", "main"]


class Commands(TyperGroup):
    """Commands whose help lists them under the titles of `rich_help_panel`.

    Without Rich's boxes, whose imports and layout took a third of the time of `--help`, Typer lists
    them without titles.
    """

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write the commands, with the first paragraph of their help."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            title = getattr(command, "rich_help_panel", None) or "Commands"
            summary = " ".join((command.help or "").split("\n\n")[0].split())
            sections.setdefault(title, []).append((name, summary))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


app = typer.Typer(
    name="scoresweep",
    cls=Commands,
    rich_markup_mode=None,
    help="Reproducible ablation studies of noise-conditional score networks.\n\n"
    "A study is one YAML file. `snakemake --cores 2 --configfile STUDY` runs all steps of it. Each "
    "step is also a command, listed below in the order of execution.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

StudyFile = Annotated[Path, typer.Argument(help="Study file (YAML).", show_default=False)]
PluginStudy = Annotated[
    Path | None, typer.Argument(help="Study whose plugins to include.", show_default=False)
]
Root = Annotated[Path, typer.Option(help="Folder of data/ and results/.")]
RunId = Annotated[str | None, typer.Option("--run", help="Id or hash of a run. Default: all runs.")]
SettingId = Annotated[
    str | None, typer.Option("--setting", help="Id or hash of a setting. Default: all settings.")
]
DatasetId = Annotated[
    str | None, typer.Option("--dataset", help="Id of a dataset. Default: all datasets.")
]
Processes = Annotated[int, typer.Option(min=1, help="Processes per node.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads per process.")]
Gpu = Annotated[int, typer.Option("--gpus", min=0, max=1, help="Number of GPUs; 0: CPU.")]
Gpus = Annotated[int, typer.Option(min=0, help="GPUs per node; 0: CPU.")]
ThisCode = Annotated[
    bool, typer.Option("--this-code", help="Recompute results of other versions of the code.")
]

ReportFile = Annotated[Path, typer.Argument(help="report.nc of a study.", show_default=False)]
Metrics = Annotated[
    list[str] | None, typer.Option(help="Metric to show; repeatable. Default: the main metric.")
]
At = Annotated[
    list[str] | None,
    typer.Option(help="Value of an axis that is not shown, such as levels=10; repeatable."),
]

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object (docs/json_output.md).")
]

START = "Start a study"
STEPS = "Steps of a study"
INSPECT = "Inspect and manage a study"


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"scoresweep {scoresweep.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Handle options that need no command."""


def _plan(study: Path, root: Path) -> Plan:
    from scoresweep.pipeline.study import load_study, plan_study

    return plan_study(load_study(study), root, where=str(study))


def _runs(plan: Plan, run: str | None) -> list[str]:
    return [plan.run(run).id] if run else [r.id for r in plan.runs]


def _settings(plan: Plan, setting: str | None) -> list[str]:
    return [plan.setting(setting).id] if setting else [s.id for s in plan.settings]


def _datasets(plan: Plan, dataset: str | None) -> list[str]:
    return [plan.dataset(dataset).id] if dataset else [d.id for d in plan.study.dataset]


@app.command(rich_help_panel=START)
def init(
    study: Annotated[Path, typer.Argument(help="Study file to write.", show_default=False)],
    data: Annotated[
        str,
        typer.Option(
            help="File or folder of data, name of a dataset, or the dataset block of a study, such "
            "as '{name: folder, path: my_images, size: 64}'.",
            show_default=False,
        ),
    ],
    device: Annotated[
        Literal["cpu", "gpu"] | None,
        typer.Option(help="Where to train. Default: on a GPU if this machine has one."),
    ] = None,
    root: Root = Path(),
) -> None:
    """Stage a dataset and write a study for it, with a comment on each number."""
    from scoresweep.pipeline.commands.init import init as write_study

    write_study(study, data, device, root)


@app.command(rich_help_panel=START)
def suggest(study: StudyFile, root: Root = Path()) -> None:
    """Print noise levels and step sizes by NCSNv2's rules, for several sigma_min."""
    from scoresweep.pipeline.commands.suggest import suggest as print_numbers

    print_numbers(_plan(study, root))


@app.command(rich_help_panel=STEPS)
def stage(
    study: StudyFile, dataset: DatasetId = None, this_code: ThisCode = False, root: Root = Path()
) -> None:
    """Download datasets and extractor weights, and write datasets as Zarr stores."""
    from scoresweep.pipeline.rules.stage import stage as run_stage

    plan = _plan(study, root)
    if any(extractor.is_published for extractor in plan.extractors.values()):
        from scoresweep.pipeline.evaluation.extractor_weights import fetch_weights

        fetch_weights(plan)
    for name in _datasets(plan, dataset):
        run_stage(plan, name, this_code=this_code)


@app.command(rich_help_panel=STEPS)
def reference(
    study: StudyFile,
    dataset: DatasetId = None,
    extractor: Annotated[
        str | None, typer.Option(help="Feature extractor. Default: all of the study.")
    ] = None,
    gpus: Gpu = 0,
    threads: Threads = 1,
    root: Root = Path(),
) -> None:
    """Compute the features of real samples, the reference of sample metrics."""
    from scoresweep.pipeline.rules.reference import reference as run_reference

    plan = _plan(study, root)
    _set_up_process(threads)
    for name in _datasets(plan, dataset):
        for extractor_name in [plan.extractor(extractor)] if extractor else plan.extractors:
            run_reference(plan, name, extractor_name, gpus)


@app.command(rich_help_panel=STEPS)
def train(
    study: StudyFile,
    run: RunId = None,
    cluster: Annotated[
        Literal["local", "slurm"],
        typer.Option(help="Where to run: on this machine or as a SLURM job."),
    ] = "local",
    nodes: Annotated[int, typer.Option(min=1, help="Number of nodes (SLURM).")] = 1,
    processes: Processes = 1,
    gpus: Gpus = 0,
    threads: Threads = 1,
    minutes: Annotated[
        int,
        typer.Option(
            min=1,
            help="Time limit in minutes (SLURM); then the run is saved and requeued.",
        ),
    ] = 240,
    memory: Annotated[
        int | None,
        typer.Option(min=1, help="Memory per node, in MB (SLURM). Default: set by SLURM."),
    ] = None,
    partition: Annotated[
        str | None, typer.Option(help="SLURM partition. Default: set by SLURM.")
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="SLURM account. Default: set by SLURM.")
    ] = None,
    extra: Annotated[
        str, typer.Option(help="Additional sbatch options, such as '--qos=long --exclusive'.")
    ] = "",
    this_code: ThisCode = False,
    root: Root = Path(),
) -> None:
    """Train networks; resume from the latest checkpoint, or wait for a running SLURM job."""
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
    study: Annotated[
        Path | None, typer.Argument(help="Study file (YAML).", show_default=False)
    ] = None,
    file: Annotated[
        Path | None, typer.Argument(help="Checkpoint file or folder.", show_default=False)
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="Id or hash of the run to import into.")
    ] = None,
    ema: Annotated[
        bool, typer.Option(help="Use the EMA weights, if the checkpoint has any.")
    ] = True,
    describe: Annotated[
        Path | None,
        typer.Option(
            help="Only print what this checkpoint is, and a study that fits it.",
            show_default=False,
        ),
    ] = None,
    root: Root = Path(),
) -> None:
    """Import weights of another program or another run instead of training."""
    if describe is not None:
        if study or file or run:
            raise InputError("import-checkpoint --describe FILE takes no STUDY, FILE or --run")
        from scoresweep.pipeline.training.weight_files.describe_checkpoint import (
            describe_checkpoint,
        )

        typer.echo(describe_checkpoint(describe), nl=False)
        return
    if study is None or file is None or run is None:
        raise InputError("import-checkpoint needs STUDY, FILE and --run ID, or --describe FILE")
    from scoresweep.pipeline.rules.import_checkpoint import import_checkpoint as run_import

    run_import(_plan(study, root), run, file, ema)


@app.command(rich_help_panel=STEPS)
def sweep(
    study: StudyFile,
    run: RunId = None,
    batch: Annotated[
        str | None,
        typer.Option(
            help="Part of the settings of each run, such as 3-of-40, or 3-of-40-at-500 with "
            "successive halving. Default: all, one count after another."
        ),
    ] = None,
    processes: Processes = 1,
    gpus: Gpus = 0,
    threads: Threads = 1,
    this_code: ThisCode = False,
    root: Root = Path(),
) -> None:
    """Draw and measure settings, and measure score errors; skip what is up to date."""
    from scoresweep.pipeline.rules.sweep import sweep as run_sweep
    from scoresweep.pipeline.sampling.sampling_job import Devices

    plan, failures = _plan(study, root), list[ScoresweepError]()
    devices = Devices(processes, threads, gpus)
    _set_up_process(threads)
    every = [f"1-of-1-at-{count}" for count in plan.counts] or ["1-of-1"]
    for part in [batch] if batch else every:
        for name in _runs(plan, run):
            try:
                run_sweep(plan, name, part, devices, this_code=this_code)
            except ScoresweepError as error:
                failures.append(error)
    if failures:
        is_input = all(isinstance(error, InputError) for error in failures)
        message = "\n".join(dict.fromkeys(map(str, failures)))
        raise InputError(message) if is_input else RunError(message)


@app.command("score-error", rich_help_panel=STEPS)
def score_error(
    study: StudyFile,
    run: RunId = None,
    gpus: Gpu = 0,
    threads: Threads = 1,
    this_code: ThisCode = False,
    root: Root = Path(),
) -> None:
    """Measure trained networks: their score error at each level, their bits per dimension."""
    from scoresweep.pipeline.results.examine import is_measured
    from scoresweep.pipeline.rules.score_error import score_error as run_score_error
    from scoresweep.pipeline.study.batches import score_error_task

    plan = _plan(study, root)
    _set_up_process(threads)
    for name in _runs(plan, run):
        for weights in plan.measured_weights(plan.run(name)) or [""]:
            task = score_error_task(weights)
            if plan.measures_networks and is_measured(plan, name, task, this_code=this_code):
                say(f"{name}: metrics of the network are up to date")
            else:
                run_score_error(plan, name, gpus, weights)


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
    """Draw samples from trained networks."""
    from scoresweep.pipeline.rules.sample import sample as run_sample
    from scoresweep.pipeline.sampling.sampling_job import Devices

    plan, devices = _plan(study, root), Devices(processes, threads, gpus)
    for name in _runs(plan, run):
        for setting_id in _settings(plan, setting):
            run_sample(plan, name, setting_id, devices, this_code=this_code)


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
    """Compute the metrics of samples; settings that fail are reported at the end."""
    from scoresweep.pipeline.evaluation.real_data import RealData
    from scoresweep.pipeline.results.examine import is_measured
    from scoresweep.pipeline.rules.evaluate import evaluate as run_evaluate

    plan = _plan(study, root)
    _set_up_process(threads)
    real = cache(lambda dataset: RealData(plan, dataset, gpus))
    pairs = [
        (name, setting_id) for name in _runs(plan, run) for setting_id in _settings(plan, setting)
    ]
    failed = []
    for name, setting_id in pairs:
        if is_measured(plan, name, setting_id, this_code=this_code):
            say(f"{name} / {setting_id}: metrics are up to date")
            continue
        try:
            run_evaluate(plan, name, setting_id, gpus, real=real(plan.run(name).dataset.id))
        except ScoresweepError as error:
            if len(pairs) == 1:
                raise
            say(f"{name} / {setting_id}: failed: {error}")
            failed.append(f"{name} / {setting_id}")
    if failed:
        raise RunError(
            f"{len(failed)} of {len(pairs)} settings failed, for the reasons above: "
            f"{', '.join(failed)}"
        )


@app.command(rich_help_panel=STEPS)
def report(study: StudyFile, root: Root = Path()) -> None:
    """Write report.nc, metrics.csv, summary.csv and report.html from the finished results."""
    from scoresweep.pipeline.rules.report import report as run_report

    run_report(_plan(study, root))


@app.command(rich_help_panel=INSPECT)
def plan(
    study: StudyFile,
    probe: Annotated[
        bool, typer.Option(help="Time a little of the work that no earlier job shows.")
    ] = True,
    settings_per_job: Annotated[
        int | None,
        typer.Option(min=1, help="As for snakemake. Default: keeps this machine's cores busy."),
    ] = None,
    cores: Annotated[
        int | None, typer.Option(min=1, help="As for snakemake. Default: those of this machine.")
    ] = None,
    gpus: Annotated[
        int, typer.Option(min=0, help="GPUs of this machine, one for each job; 0: CPU.")
    ] = 0,
    tflops: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="Count the operations of networks and assume that a GPU does so many TFLOP/s, "
            "instead of timing one; with --gpus.",
        ),
    ] = None,
    as_json: AsJson = False,
    root: Root = Path(),
) -> None:
    """Print the jobs of a study, and estimate its files and its time."""
    from scoresweep.pipeline.commands.plan import print_plan
    from scoresweep.pipeline.study.data_checks import check_data

    if tflops is not None and (not gpus or not probe):
        raise InputError("plan: --tflops is the speed of GPUs: add --gpus 1, leave out --no-probe")
    found = _plan(study, root)
    check_data(found, str(study))
    if as_json:
        from scoresweep.pipeline.commands.json_output.plan_json import plan_object
        from scoresweep.pipeline.commands.plan import estimate_plan

        estimate = estimate_plan(found, probe, settings_per_job, cores, gpus, tflops)
        typer.echo(plan_object(found, estimate).model_dump_json(indent=1))
        return
    print_plan(
        found, probe, settings_per_job=settings_per_job, cores=cores, gpus=gpus, tflops=tflops
    )


@app.command(rich_help_panel=INSPECT)
def status(
    study: StudyFile,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again and again until all is done or Ctrl-C.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.5, help="Seconds between updates of --watch.")] = 5,
    as_json: AsJson = False,
    root: Root = Path(),
) -> None:
    """Print the state of each run and setting, during a study and after it."""
    from scoresweep.pipeline.commands.status import run_status

    if watch and as_json:
        raise InputError("status: --watch and --json cannot be combined; leave one of them out")
    run_status(_plan(study, root), study, watch=every if watch else None, as_json=as_json)


@app.command(rich_help_panel=INSPECT)
def compare(
    a: Annotated[Path, typer.Argument(help="report.nc of study A.", show_default=False)],
    b: Annotated[Path, typer.Argument(help="report.nc of study B.", show_default=False)],
    measure: Annotated[
        list[str] | None,
        typer.Option(help="Metric to list settings by; repeatable. Default: the main metric."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="CSV file to write all settings and metrics to.")
    ] = None,
) -> None:
    """Compare the reports of two studies, setting by setting."""
    from scoresweep.pipeline.commands.compare import compare as compare_reports

    compare_reports(a, b, measure or (), output)


@app.command(rich_help_panel=INSPECT)
def table(
    report: ReportFile,
    rows: Annotated[str, typer.Option(help="Axes along the rows, such as levels,sampler.")],
    columns: Annotated[str, typer.Option(help="Axes along the columns.")] = "",
    metric: Metrics = None,
    at: At = None,
    form: Annotated[
        Literal["latex", "markdown", "csv"], typer.Option("--format", help="Format of the table.")
    ] = "latex",
) -> None:
    """Print the means and intervals of a report as a table for a paper."""
    from scoresweep.pipeline.commands.table import table as write_table

    text = write_table(report, _names(rows), _names(columns), _names(*metric or ()), at or (), form)
    typer.echo(text, nl=False)


@app.command(rich_help_panel=INSPECT)
def figure(
    report: ReportFile,
    x: Annotated[str, typer.Option("--x", help="Axis along the figure.")],
    output: Annotated[Path, typer.Option(help="File to write: .pdf, .svg or .png.")],
    line: Annotated[str, typer.Option(help="Axes with a line for each value.")] = "",
    metric: Metrics = None,
    at: At = None,
    width: Annotated[
        str, typer.Option(help="Width: column (3.25 inches), page (6.75), or a number of inches.")
    ] = "column",
) -> None:
    """Draw the means and intervals of a report as a figure for a paper."""
    from scoresweep.pipeline.commands.figure import figure as draw_figure

    names, lines = _names(*metric or ()), _names(line)
    draw_figure(report, x, lines, output, metrics=names, at=at or (), width=width)


@app.command(rich_help_panel=INSPECT)
def cancel(study: StudyFile, root: Root = Path()) -> None:
    """Cancel the SLURM jobs of a study, and stop the `snakemake` that submits them."""
    from scoresweep.pipeline.commands.cancel import cancel as cancel_jobs

    cancel_jobs(_plan(study, root))


@app.command(rich_help_panel=INSPECT)
def clean(
    study: StudyFile,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Remove this only: features, chunks, checkpoints, earlier, unfinished or unnamed; "
            "repeatable."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    root: Root = Path(),
) -> None:
    """Remove what can be recomputed, and results that the study no longer names; list it first."""
    from scoresweep.pipeline.commands.clean import clean as clean_study

    clean_study(_plan(study, root), only or (), yes)


@app.command(rich_help_panel=INSPECT)
def rename(
    study: StudyFile,
    name: Annotated[str, typer.Argument(help="New name.", show_default=False)],
    root: Root = Path(),
) -> None:
    """Rename a study and its results, without recomputing anything."""
    from scoresweep.pipeline.commands.rename import rename as rename_study

    rename_study(_plan(study, root), study, name)


@app.command(rich_help_panel=INSPECT)
def methods(
    study: PluginStudy = None,
) -> None:
    """List every method that a study can name, with its options."""
    from scoresweep.pipeline.commands.methods import describe_methods

    for line in describe_methods(study):
        typer.echo(line)


@app.command(rich_help_panel=INSPECT)
def schema(
    study: PluginStudy = None,
    of: Annotated[
        Literal["study", "status", "plan"],
        typer.Option(help="Of study files, or of what status or plan prints with --json."),
    ] = "study",
) -> None:
    """Print the JSON schema of study files, or of the output of a command."""
    from scoresweep.pipeline.commands.schema import output_schema, study_schema

    found = study_schema(study) if of == "study" else output_schema(of)
    typer.echo(json.dumps(found, indent=2, ensure_ascii=False))


def _names(*texts: str) -> list[str]:
    """Split lists like "levels,sampler"."""
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


def _set_up_process(threads: int) -> None:
    from scoresweep.pipeline.system.process import set_up_process

    set_up_process(threads)


def _exit(number: int, _frame: FrameType | None) -> None:
    """On SIGTERM, exit as on Ctrl-C: child processes are asked to stop."""
    raise SystemExit(128 + number)


def main() -> None:
    """Run the command line; exit code 0: success, 1: failure, 2: wrong input."""
    signal.signal(signal.SIGTERM, _exit)
    remove_launcher_variables()
    try:
        app()
    except ScoresweepError as error:
        say(f"Error: {error}")
        sys.exit(error.exit_code)
    except FileNotFoundError as error:
        say(
            f"Error: {error.filename or error}: was deleted while in use; run the command again to "
            f"recreate it or to see what is missing"
        )
        sys.exit(1)
    except OSError as error:
        say(f"Error: {error.filename or 'a file'}: {error.strerror or error}")
        sys.exit(1)
    except KeyboardInterrupt:
        say("Stopped.")
        sys.exit(130)
