"""The metric of a plugin, in the form of those of this package."""

from __future__ import annotations

import math
import numbers
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from scoresweep.metric_names import COMPANIONS
from scoresweep.metrics.features import Features, MetricValue, Options
from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.study.axis_names import RESERVED
from scoresweep.pipeline.study.origin import Origin
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredMetric
from scoresweep.pipeline.study.plugins.plugin_failures import named_failures
from scoresweep.pipeline.system.random_state import seeded_globally
from scoresweep.seeds import derive_seed, generator_for

__all__ = ["PluginMetric"]


@dataclass
class PluginMetric:
    """A metric that calls the function of a plugin, and checks what it does."""

    method: DeclaredMetric
    shape: tuple[int, ...]
    """Shape of a sample, (C, H, W) or (D,)."""
    names: frozenset[str] | None = None
    """Names of the values that the first call returned."""
    real: tuple[Features, Tensor] | None = None
    """The real samples of the last call, and the copy that the function is given."""

    def __call__(
        self, real: Features, generated: Features, options: Options
    ) -> dict[str, MetricValue]:
        """Return the values by name.

        Raises:
            ValueError: if the function fails, changes its arguments, or does not return numbers in
                the declared limits, of the same names as before.
        """
        try:
            found = self._call(real, generated, options.seed)
            values = self._numbers(found)
        except RunError as error:
            raise ValueError(str(error)) from None
        hooks, name = self.method.hooks, self.method.name
        title = hooks["long_name"] or name.replace("_", " ")
        return {
            key: MetricValue(
                value,
                title if key == name else f"{title}: {key.removeprefix(f'{name}_')}",
                n_real=len(real),
                better=self.method.ranking.get(key),
                minimum=hooks["minimum"],
                maximum=hooks["maximum"],
                units=hooks["unit"],
                per_extractor=not self.method.on_samples,
            )
            for key, value in values.items()
        }

    @property
    def _origin(self) -> Origin:
        assert self.method.origin is not None
        return self.method.origin

    def _tensor(self, features: Features) -> Tensor:
        values = features.values
        return values.reshape(-1, *self.shape) if self.method.on_samples else values

    def _copy_of_real(self, real: Features) -> Tensor:
        """Return a copy of the real samples, the same in all calls, since copying takes long."""
        if self.real is None or self.real[0] is not real:
            self.real = real, self._tensor(real).clone()
        return self.real[1]

    def _call(self, real: Features, generated: Features, seed: int) -> Any:
        """Return what the function returns; raise `RunError` if it changes its arguments.

        It is given copies, so that no other metric gets changed samples. Every call notices changes
        by PyTorch; the first one compares all values, which takes long.
        """
        key, arguments = (seed, "metric", self.method.name), self.method.arguments()
        if "generator" in self.method.accepted:
            arguments["generator"] = generator_for(*key)
        given = {"real": self._copy_of_real(real), "generated": self._tensor(generated).clone()}
        versions = {name: x._version for name, x in given.items()}
        with seeded_globally(derive_seed(*key, "global")), named_failures(self._origin):
            found = self.method.load()(*given.values(), **arguments)
        for name, before in (("real", real), ("generated", generated)):
            now = given[name]
            is_same = self.names is not None or now.equal(self._tensor(before))
            if now._version != versions[name] or not is_same:
                self.real = None
                raise RunError(
                    f"{self._origin}: changed its argument {name!r}; expected it to work on a "
                    f"copy: {name} = {name}.clone()"
                )
        return found

    def _numbers(self, found: Any) -> dict[str, float]:
        """Return the values by name; raise `RunError` if they are not as declared."""
        name = self.method.name
        values = {name: found}
        if isinstance(found, Mapping):
            values = {f"{name}_{key}": value for key, value in found.items()}
        self._check_keys(values, is_dictionary=isinstance(found, Mapping))
        if self.names not in (None, values.keys()):
            raise RunError(
                f"{self._origin}: returned {', '.join(values)}, and before "
                f"{', '.join(sorted(self.names or ()))}; expected the same keys each time"
            )
        self.names = frozenset(values)
        return {key: self._number(key, value) for key, value in values.items()}

    def _check_keys(self, names: Collection[str], *, is_dictionary: bool) -> None:
        """Raise `RunError` if the `names` of values cannot be in a report, or some are missing."""
        name = self.method.name
        if not names:
            raise RunError(
                f"{self._origin}: returned an empty dictionary; expected at least one number"
            )
        if missing := sorted(self.method.ranking.keys() - set(names)):
            raise RunError(
                f"{self._origin}: returned no value for {', '.join(missing)}, which its decorator "
                f"names in `better`; found {', '.join(names)} (for a "
                f"dictionary, expected better={{KEY: 'lower'}} or 'higher')"
            )
        for key in names if is_dictionary else ():
            if key in RESERVED:
                raise RunError(
                    f"{self._origin}: returned the key {key.removeprefix(f'{name}_')!r}; expected "
                    f"another key, since {key!r} is the name of something else in reports"
                )
            if not key.isidentifier() or key.rpartition("_")[2] in COMPANIONS:
                raise RunError(
                    f"{self._origin}: returned the key {key.removeprefix(f'{name}_')!r}; expected "
                    f"letters, digits and '_', without "
                    f"{', '.join(f'_{each}' for each in COMPANIONS)} at its end"
                )

    def _place(self, key: str) -> str:
        """Return the place of the metric, and the key if it returns a dictionary."""
        name = self.method.name
        return (
            str(self._origin) if key == name else f"{self._origin}: {key.removeprefix(f'{name}_')}"
        )

    def _number(self, key: str, value: Any) -> float:
        hooks = self.method.hooks
        if isinstance(value, Tensor | np.ndarray) and value.ndim == 0:
            value = value.item()
        if not isinstance(value, numbers.Real):
            shape = f" of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
            raise RunError(
                f"{self._place(key)}: returned {type(value).__name__}{shape}; expected a number"
                f", or a dictionary of numbers"
            )
        number = float(value)
        if not math.isfinite(number):
            raise RunError(f"{self._place(key)}: returned {number}; expected a finite number")
        low, high = hooks["minimum"], hooks["maximum"]
        if (low is not None and number < low) or (high is not None and number > high):
            raise RunError(
                f"{self._place(key)}: returned {number}; expected a number from "
                f"{'−∞' if low is None else low} to {'∞' if high is None else high}, the limits "
                f"in its decorator"
            )
        return number
