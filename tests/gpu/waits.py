"""Where the program may wait for the GPU, and what finds the other places.

Kernels are queued; a program that reads a result waits until the queue is empty, and the GPU idles
until new kernels arrive. So a training step or a sampler must not wait in its loop.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch

import scoresweep

__all__ = ["INTENDED", "Waits"]

INTENDED = {
    # At the start of a job
    "pipeline/sampling/chunks.py _load": "moves the network to the device",
    "pipeline/sampling/resolve.py resolve_sampling": "reads the noise ladder of the network",
    "networks/oracle.py Oracle._apply": "moves the data of the exact score to the device",
    "pipeline/commands/estimate/probe_network.py _with_sampler": "reads the noise ladder",
    "pipeline/data/memory_loader.py InMemoryLoader.__init__": "moves the data to the device",
    "pipeline/training/training_step.py TrainingStep.__init__": "moves the network to the device",
    "pipeline/rules/train.py _check_settings": "reads the noise ladder",
    # Training
    "pipeline/data/memory_loader.py InMemoryLoader._order": "each epoch: copies its order",
    "pipeline/training/finite_checks.py finite_loss_sums": "each point of the curves, checkpoint",
    "pipeline/training/finite_checks.py check_weights": "each checkpoint",
    "pipeline/training/curves.py Curves.append": "each point of the curves",
    "pipeline/training/run_log.py RunLog.add_point": "each point of the curves: gradient norm",
    "pipeline/training/tensorboard.py image_grid": "each image grid",
    "pipeline/training/trainer.py Trainer._checkpoint": "each checkpoint: the scale of fp16",
    "pipeline/system/safetensors_io.py save_safetensors": "each checkpoint, each kept weights",
    "pipeline/system/safetensors_io.py sha256_of_tensors": "each kept weights",
    # Sampling
    "pipeline/sampling/recorder.py SamplingRecorder._keep_frame": "each level, for trajectories",
    "pipeline/sampling/recorder.py SamplingRecorder.tensors": "each chunk",
    "pipeline/sampling/chunks.py _run_sampler": "each chunk: samples, and whether they are finite",
    "samplers/initial.py initial_samples": "each chunk, if it starts from the data",
    "pipeline/sampling/plugin_sampler.py run_plugin_sampler": "each chunk, and as the plugin does",
    "pipeline/sampling/chunks.py _draw_chunk": "each chunk, for in-painting",
    # Metrics
    "pipeline/evaluation/real_features.py extract_features": "each batch: samples and features",
    "pipeline/evaluation/plugin_extractor.py PluginExtractor.forward": "each batch: was it changed",
    "pipeline/system/device.py move_network": "each score: metrics keep their points on the CPU",
    "pipeline/system/device.py move_exact_score": "at the start",
    "pipeline/system/device.py _ScoreOnDevice.__call__": "as move_network",
    "pipeline/system/device.py _ScoreOnDevice.log_density": "as move_network",
    "metrics/asymmetry.py _per_point": "as move_network, in the gradients",
    "pipeline/evaluation/network_metrics.py measure_network": "at the start: reads the ladder",
    "pipeline/evaluation/network_metrics.py _estimate_levels": "the same, each split",
    "pipeline/evaluation/network_metrics.py _uniform_bins": "the same",
    "metrics/likelihood.py log_likelihood": "at the start: random vectors from the CPU",
    "distributions.py GaussianMixture._blocks": "each exact score: whether to compute it again",
    "distributions.py GaussianMixture._rounding": "the first exact score",
}
"""Functions that wait for the GPU on purpose, and when they do."""

PACKAGE = Path(scoresweep.__file__).parent


class Waits:
    """Records waits, and raises at the end of `watch` if one is not intended."""

    def __init__(self) -> None:
        self.counts = Counter[str]()
        """By function of the package."""
        self.hidden: list[str] = []

    def note(self, what: str) -> None:
        """Record that the program waits now."""
        function, line = _caller()
        self.counts[function] += 1
        if function not in INTENDED:
            self.hidden.append(f"{function}, line {line}: {what}")

    @contextlib.contextmanager
    def on_real_gpu(self) -> Iterator[None]:
        """Let PyTorch report waits for a real GPU."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Synchronization debug mode")
            warnings.filterwarnings("always", "called a synchronizing")
            show = warnings.showwarning

            def note(message: Warning | str, *rest: object) -> None:
                if "called a synchronizing" in str(message):
                    self.note(str(message))
                else:
                    show(message, *rest)

            warnings.showwarning = note
            torch.cuda.set_sync_debug_mode("warn")
            try:
                yield
            finally:
                torch.cuda.set_sync_debug_mode("default")

    def check(self) -> None:
        """Raise `AssertionError` if the program waited where it should not."""
        hidden, self.hidden = self.hidden, []
        assert not hidden, "waits for the GPU:\n" + "\n".join(dict.fromkeys(hidden))


def _caller() -> tuple[str, int]:
    """Return the innermost function of the package on the stack, and its line."""
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE):
            name = frame.f_code.co_qualname.split(".<locals>")[0]
            return f"{path.relative_to(PACKAGE)} {name}", frame.f_lineno
        frame = frame.f_back
    return "a test", 0
