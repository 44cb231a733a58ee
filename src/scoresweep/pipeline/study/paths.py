"""Where the files of a study lie: the only place that puts paths together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["StudyPaths"]


@dataclass(frozen=True)
class StudyPaths:
    """Paths of a study, relative to the folder in which the workflow runs."""

    study: str
    """Name of the study."""
    root: Path = Path()
    """Folder that holds `data/` and `results/`."""

    @property
    def results(self) -> Path:
        """Everything that the study makes, except for staged data."""
        return self.root / "results" / self.study

    def dataset_store(self, dataset: str) -> Path:
        """Zarr store of a staged dataset."""
        return self.root / "data" / f"{dataset}.zarr"

    def dataset_manifest(self, dataset: str) -> Path:
        """Written last, beside the store: a dataset whose manifest exists is whole."""
        return self.root / "data" / f"{dataset}.json"

    def dataset_state(self, dataset: str) -> Path:
        """Hashes of a user's own files as they were seen last: a cache."""
        return self.root / "data" / f".{dataset}.files.json"

    def staging_lock(self, dataset: str) -> Path:
        """Held by the process that stages."""
        return self.root / "data" / f".{dataset}.lock"

    def reference(self, dataset: str, extractor: str, real_count: int | None = None) -> Path:
        """Features of the real samples, of all or of so many of each split, and of noise."""
        some = "" if real_count is None else f".{real_count}"
        return self.root / "data" / f"{dataset}.{extractor}{some}.nc"

    def extractor_weights(self, dataset: str, extractor: str) -> Path:
        """Weights of an extractor that is trained on the dataset itself."""
        return self.root / "data" / f"{dataset}.{extractor}.safetensors"

    def run(self, run: str) -> Path:
        """Folder of a training run."""
        return self.results / "runs" / run

    def run_config(self, run: str) -> Path:
        """Resolved configuration of a run."""
        return self.run(run) / "config.yaml"

    def weights(self, run: str) -> Path:
        """EMA weights: the last file that training writes."""
        return self.run(run) / "model.safetensors"

    def weights_manifest(self, run: str) -> Path:
        """Written after the weights: what they were made from. The rule `train` declares it.

        Snakemake deletes declared files of jobs that fail; it must not delete weights.
        """
        return self.run(run) / "model.json"

    def training_curves(self, run: str) -> Path:
        """Training curves."""
        return self.run(run) / "training.nc"

    def tensorboard(self, run: str) -> Path:
        """TensorBoard's log directory."""
        return self.run(run) / "tensorboard"

    def checkpoints(self, run: str) -> Path:
        """Folder of checkpoints; no rule declares it."""
        return self.run(run) / "checkpoints"

    def history(self, run: str) -> Path:
        """Folder of the averaged weights on their way, where they are kept; no rule declares it."""
        return self.run(run) / "history"

    def progress(self, run: str) -> Path:
        """State of a running training, for `scoresweep status`."""
        return self.run(run) / "progress.json"

    def training_lock(self, run: str) -> Path:
        """Held by the process that trains."""
        return self.run(run) / ".lock"

    def launch_lock(self, run: str) -> Path:
        """Held by the command that starts the training and waits for it."""
        return self.run(run) / ".launch.lock"

    def owner_mark(self, run: str) -> Path:
        """Names the start of the training that may write to the run."""
        return self.run(run) / ".owner"

    def samples_lock(self, run: str, setting: str) -> Path:
        """Held by the process that draws."""
        return self.results / "samples" / run / f".{setting}.lock"

    def provenance(self, run: str) -> Path:
        """Code, versions and machine that made a run."""
        return self.run(run) / "provenance.json"

    def code(self, run: str) -> Path:
        """Folder of the code and the environments that a run was started with."""
        return self.run(run) / "code"

    def job_record(self, run: str) -> Path:
        """The SLURM job that trains, or has trained, a run."""
        return self.run(run) / "job.json"

    def samples(self, run: str, setting: str) -> Path:
        """Zarr store of samples."""
        return self.results / "samples" / run / f"{setting}.zarr"

    def samples_manifest(self, run: str, setting: str) -> Path:
        """Written last, beside the store: samples whose manifest exists are whole."""
        return self.results / "samples" / run / f"{setting}.json"

    def samples_manifest_copy(self, run: str, setting: str) -> Path:
        """The manifest again: Snakemake deletes that of a job that it takes for interrupted."""
        return self.results / "samples" / run / f".{setting}.manifest"

    def samples_progress(self, run: str, setting: str) -> Path:
        """State of the drawing of samples, for `scoresweep status`."""
        return self.results / "samples" / run / f"{setting}.progress.json"

    def samples_parts(self, run: str, setting: str) -> Path:
        """Chunks that are drawn already, until all of them are."""
        return self.results / "samples" / run / f"{setting}.parts"

    def score_error(self, run: str) -> Path:
        """Score error of a run's network, which no sampler setting changes."""
        return self.results / "metrics" / run / "score_error.nc"

    def metrics(self, run: str, setting: str) -> Path:
        """Every metric of a setting."""
        return self.results / "metrics" / run / f"{setting}.nc"

    @property
    def slurm_runs(self) -> Path:
        """Names that Snakemake gave the study's SLURM jobs, one for each start of the workflow."""
        return self.results / "slurm_runs.txt"

    @property
    def report(self) -> Path:
        """The labelled report."""
        return self.results / "report.nc"

    @property
    def report_page(self) -> Path:
        """The report as a page."""
        return self.results / "report.html"

    @property
    def figures(self) -> Path:
        """Folder of the report's figures."""
        return self.results / "figures"

    @property
    def metrics_table(self) -> Path:
        """The report's numbers as one long table."""
        return self.results / "metrics.csv"
