"""Keep averaged weights of several steps and decays, which settings choose from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.results.input_hashes import write_weights_manifest
from scoresweep.pipeline.study.models import Train
from scoresweep.pipeline.study.weights_name import weights_name
from scoresweep.pipeline.system.atomic_files import remove
from scoresweep.pipeline.training.weights import save_network

__all__ = ["KeptWeights"]


@dataclass
class KeptWeights:
    """The averaged weights that a training keeps, besides the default ones of its last step."""

    train: Train
    averages: Mapping[float, ScoreNetwork]
    """Averaged copies of the network, by decay."""
    data_sha256: str
    """Hash of the training set."""
    folder: Path
    needed: dict[str, int] = field(default_factory=dict)
    """Weights that settings use, by name, and their step."""

    def start(self, step: int) -> None:
        """Remove the weights of an earlier training, of other data or code, at the first step.

        Raises `InputError` if a run that resumes after `step` has passed steps whose weights are
        needed and were not kept, which happens if `train.keep` was added meanwhile.
        """
        if step == 0:
            remove(self.folder)
        for name, at in self.needed.items():
            if at <= step and not (self.folder / name / "model.safetensors").exists():
                raise InputError(
                    f"{self.folder / name}: step {at} was not kept, and training resumes from step "
                    f"{step}; remove it from sample.training_step, or delete "
                    f"{self.folder.with_name('checkpoints')} to train from the start"
                )

    def save(self, step: int) -> None:
        """Write the weights after `step`, if they are kept.

        Call this before the checkpoint of the step is saved: a run that resumes writes them again,
        or has passed the step with the files whole.
        """
        for decay, network in self.averages.items():
            if name := weights_name(step, decay, self.train.steps, self.train.decays[0]):
                path = self.folder / name / "model.safetensors"
                save_network(path, network, self.train.network)
                record = {"training_data": self.data_sha256}
                write_weights_manifest(path, path.with_suffix(".json"), record)
