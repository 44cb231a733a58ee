"""A small convolutional classifier, trained on the labelled real training images.

Its features are the activations before the last layer. A classifier trained on real images only is
confident on noise too, so its confidence would say nothing about samples. It is therefore trained
to give uniform probabilities on uniform noise (outlier exposure, Hendrycks et al. 2019,
https://arxiv.org/abs/1812.04606). Its probabilities are then calibrated by temperature scaling (Guo
et al. 2017, https://arxiv.org/abs/1706.04599) on held-out training images.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot, pad, softmax

from scoresweep.adamw import AdamW
from scoresweep.metrics.extractors.extractor import Extractor
from scoresweep.metrics.features import Features
from scoresweep.seeds import derive_seed, generator_for

__all__ = ["Classifier"]

STEPS = 500
BATCH_SIZE = 128
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.05
HELD_OUT = 0.1
"""Share of the training images that are held out to choose the temperature."""
NOISE = BATCH_SIZE // 4
"""Number of images of uniform noise added to a batch."""
FEATURES = 64
PROCEDURE = 1
"""Version of layers and training, increased by changes other than to the numbers above."""


class Classifier(Extractor):
    """Convolutional network for images of any size, channels and number of classes.

    It has a convolution at full size, then halvings down to about four pixels a side, each followed
    by a convolution with twice the maps, then a layer of 64 features. The number of training steps
    is fixed, so training time does not depend on the size of the dataset.
    """

    name = "classifier"
    needs_images = True
    needs_labels = True
    batch_size = BATCH_SIZE
    temperature: Tensor

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        """Create an untrained classifier for images of `shape` (C, H, W)."""
        super().__init__(shape, classes)
        channels, height, width = shape
        halvings = max(0, round(math.log2(min(height, width) / 4)))
        maps = [16 * 2 ** min(stage, 2) for stage in range(halvings + 1)]
        layers = _convolution(channels, maps[0])
        for before, after in itertools.pairwise(maps):
            layers += [nn.MaxPool2d(2), *_convolution(before, after)]
        cells = (height >> halvings) * (width >> halvings)
        self.body = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Linear(maps[-1] * cells, FEATURES, bias=False),
            # Features have the same scale for every dataset.
            nn.BatchNorm1d(FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(FEATURES, classes)
        self.register_buffer("temperature", torch.ones(()))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, samples: Tensor) -> Features:
        """Return features (N, 64) and class probabilities (N, K) of images (N, C, H, W)."""
        features = torch.cat([self.body(part) for part in torch.split(samples, BATCH_SIZE)])
        return Features(features, softmax(self.head(features) / self.temperature, dim=1))

    def fit(self, samples: Tensor, labels: Tensor | None, seed: int) -> None:
        """Train on images (N, C, H, W) and `labels` (N,), then choose the temperature.

        Raises:
            ValueError: if there are no labels.
        """
        if labels is None:
            raise ValueError("the classifier needs labels of the training samples, found None")
        generator = generator_for(seed, "classifier")
        order = torch.randperm(len(samples), generator=generator)
        held_out, training = order.tensor_split([max(1, int(HELD_OUT * len(order)))])
        self._reset(seed)
        self._train_on(samples, labels, training, generator)
        with torch.no_grad():
            logits = self.head(self(samples[held_out]).values)
        self.temperature.copy_(_best_temperature(logits, labels[held_out]))

    def recipe(self) -> dict[str, float]:
        """Return the training hyperparameters."""
        return {
            "procedure": PROCEDURE,
            "steps": STEPS,
            "batch_size": BATCH_SIZE,
            "learning_rate": LEARNING_RATE,
            "weight_decay": WEIGHT_DECAY,
            "held_out": HELD_OUT,
            "noise": NOISE,
            "features": FEATURES,
        }

    def _reset(self, seed: int) -> None:
        """Initialise the weights without changing torch's global random state."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "classifier weights"))
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d | nn.BatchNorm1d):
                    module.reset_parameters()

    def _train_on(
        self, samples: Tensor, labels: Tensor, indices: Tensor, generator: torch.Generator
    ) -> None:
        optimizer = AdamW(self.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, STEPS)
        classes = self.head.out_features
        uniform = torch.full((NOISE, classes), 1 / classes)
        self.train()
        for _ in range(STEPS):
            batch = indices[torch.randint(len(indices), (BATCH_SIZE,), generator=generator)]
            images = _shift(samples[batch], generator)
            noise = torch.rand(NOISE, *images.shape[1:], generator=generator)
            logits = self.head(self.body(torch.cat([images, noise])))
            targets = torch.cat([one_hot(labels[batch], classes), uniform])
            loss = cross_entropy(logits, targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        self.eval()


def _convolution(channels: int, maps: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, maps, 3, padding=1, bias=False),
        nn.BatchNorm2d(maps),
        nn.ReLU(),
    ]


def _shift(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift images (N, C, H, W) by the same random offset of up to an eighth of their size."""
    height, width = images.shape[2:]
    reach = min(height, width) // 8
    down, right = torch.randint(2 * reach + 1, (2,), generator=generator).tolist()
    padded = pad(images, [reach] * 4, mode="replicate")
    return padded[:, :, down : down + height, right : right + width]


def _best_temperature(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the temperature in [1, 10] with the smallest cross-entropy.

    It is at least 1, because a small set without errors would be fitted best by temperature 0.
    """
    candidates = torch.logspace(0, 1, 201)
    losses = torch.stack([cross_entropy(logits / t, labels) for t in candidates])
    return candidates[losses.argmin()]
