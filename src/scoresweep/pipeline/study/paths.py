"""Paths of every file of a study; no other module builds them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

__all__ = ["StudyPaths"]


@dataclass(frozen=True)
class StudyPaths:
    """Paths of a study, relative to the workflow's working directory."""

    study: str
    """Name of the study."""
    root: Path = Path()
    """Folder of `data/` and `results/`."""

    @cached_property
    def results(self) -> Path:
        """Folder of all results of the study; staged data are in `data/`."""
        return self.root / "results" / self.study

    def dataset_store(self, dataset: str) -> Path:
        """Zarr store of a staged dataset."""
        return self.root / f"data/{dataset}.zarr"

    def dataset_manifest(self, dataset: str) -> Path:
        """Manifest of a staged dataset, written last: if it exists, the store is complete."""
        return self.root / f"data/{dataset}.json"

    def dataset_state(self, dataset: str) -> Path:
        """Cache of the hashes of a user's own files."""
        return self.root / f"data/.{dataset}.files.json"

    def dataset_ladders(self, dataset: str) -> Path:
        """Cache of the noise ladders that follow from the staged data."""
        return self.root / f"data/.{dataset}.ladders.json"

    def staging_lock(self, dataset: str) -> Path:
        """Lock held while the dataset is staged."""
        return self.root / f"data/.{dataset}.lock"

    def reference(self, dataset: str, extractor: str, real_count: int | None = None) -> Path:
        """Features of noise and of the real samples: all, or `real_count` of each split."""
        suffix = "" if real_count is None else f".{real_count}"
        return self.root / f"data/{dataset}.{extractor}{suffix}.nc"

    def extractor_weights(self, dataset: str, extractor: str) -> Path:
        """Weights of an extractor that is trained on the dataset."""
        return self.root / f"data/{dataset}.{extractor}.safetensors"

    def plugin_copy(self, stem: str, sha256: str) -> Path:
        """Text of a plugin with which results were computed."""
        return self.results / "plugins" / f"{stem}-{sha256[:12]}.json"

    def run(self, run: str) -> Path:
        """Folder of a training run."""
        return self.results / "runs" / run

    def run_config(self, run: str) -> Path:
        """Resolved configuration of a run."""
        return self.run(run) / "config.yaml"

    def weights(self, run: str, name: str = "") -> Path:
        """EMA weights, written when training has finished; or others that are kept (`name`)."""
        return (self.kept(run) / name if name else self.run(run)) / "model.safetensors"

    def weights_manifest(self, run: str, name: str = "") -> Path:
        """Manifest of weights, written after them; the declared output of the rule `train`.

        The weights themselves are not declared: Snakemake deletes declared files of failed jobs.
        """
        return self.weights(run, name).with_suffix(".json")

    def kept(self, run: str) -> Path:
        """Folder of EMA weights of other steps and decays; not declared to Snakemake."""
        return self.run(run) / "kept"

    def training_curves(self, run: str) -> Path:
        """Training curves."""
        return self.run(run) / "training.nc"

    def tensorboard(self, run: str) -> Path:
        """TensorBoard's log directory."""
        return self.run(run) / "tensorboard"

    def checkpoints(self, run: str) -> Path:
        """Folder of checkpoints; not declared to Snakemake."""
        return self.run(run) / "checkpoints"

    def history(self, run: str) -> Path:
        """Folder of EMA weights saved during training; not declared to Snakemake."""
        return self.run(run) / "history"

    def progress(self, run: str) -> Path:
        """Progress of training, for `scoresweep status`."""
        return self.run(run) / "progress.json"

    def training_lock(self, run: str) -> Path:
        """Lock held by the process that trains."""
        return self.run(run) / ".lock"

    def launch_lock(self, run: str) -> Path:
        """Lock held by the command that starts training and waits for it."""
        return self.run(run) / ".launch.lock"

    def owner_token(self, run: str) -> Path:
        """Token of the process that may write to the run."""
        return self.run(run) / ".owner"

    def samples_lock(self, run: str, store: str) -> Path:
        """Lock held by the process that draws samples."""
        return self.results / f"samples/{run}/.{store}.lock"

    def provenance(self, run: str) -> Path:
        """Provenance of a run: code, versions and machine."""
        return self.run(run) / "provenance.json"

    def code(self, run: str) -> Path:
        """Folder of the source code and environments of each start of a run."""
        return self.run(run) / "code"

    def job_record(self, run: str) -> Path:
        """Record of the SLURM job that trains or trained a run."""
        return self.run(run) / "job.json"

    def samples(self, run: str, store: str) -> Path:
        """Zarr store of samples."""
        return self.results / f"samples/{run}/{store}.zarr"

    def samples_manifest(self, run: str, store: str) -> Path:
        """Manifest of the samples, written last: if it exists, the store is complete."""
        return self.results / f"samples/{run}/{store}.json"

    def samples_progress(self, run: str, store: str) -> Path:
        """Progress of sampling, for `scoresweep status`."""
        return self.results / f"samples/{run}/{store}.progress.json"

    def chunk_folder(self, run: str, store: str) -> Path:
        """Finished chunks, until all are drawn."""
        return self.results / f"samples/{run}/{store}.parts"

    def halving_choice(self, group: str, count: int) -> Path:
        """Which settings of a group of runs go on to `count` samples, and why."""
        return self.results / "halving" / group / f"{count}.json"

    def features(self, run: str, store: str, extractor: str) -> Path:
        """Features of generated samples, kept so that other metrics need not extract them again."""
        return self.results / f"features/{run}/{store}.{extractor}.safetensors"

    def score_error(self, run: str, weights: str = "") -> Path:
        """Score error of a run's network with the weights of this name."""
        name = f"score_error_{weights}" if weights else "score_error"
        return self.results / "metrics" / run / f"{name}.nc"

    def metrics(self, run: str, setting: str) -> Path:
        """All metrics of a setting."""
        return self.results / f"metrics/{run}/{setting}.nc"

    def batch(self, run: str, batch: str) -> Path:
        """What a finished batch of settings computed; the declared output of the rule `sweep`."""
        return self.batches(run) / f"{batch}.json"

    def batch_progress(self, run: str, batch: str) -> Path:
        """Progress of a batch, for `scoresweep status`; not declared to Snakemake."""
        return self.batches(run) / f"{batch}.progress.json"

    def batches(self, run: str) -> Path:
        """Folder of the batches of a run."""
        return self.results / "batches" / run

    def batch_log(self, run: str, batch: str) -> Path:
        """Log of the job of a batch."""
        return self.results / "logs" / "sweep" / run / f"{batch}.log"

    @property
    def workflow_heads(self) -> Path:
        """Starts of the workflow, with Snakemake's names for their SLURM jobs."""
        return self.results / "slurm_runs.txt"

    @property
    def report(self) -> Path:
        """The report as a labelled dataset."""
        return self.results / "report.nc"

    @property
    def report_page(self) -> Path:
        """The report as an HTML page."""
        return self.results / "report.html"

    @property
    def figures(self) -> Path:
        """Folder of the report's figures."""
        return self.results / "figures"

    @property
    def metrics_table(self) -> Path:
        """The report's values as one long table."""
        return self.results / "metrics.csv"

    @property
    def summary_table(self) -> Path:
        """Means, intervals and ranks of the report; not declared to Snakemake."""
        return self.results / "summary.csv"
