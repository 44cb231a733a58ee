"""Coverage of intervals over repeats, and the rate of false leads.

Tables like a report's are simulated with a known truth and passed to the report's own functions:
`summarise`, `best_with_selection_interval` and `ranking_with_gaps`. A value is mean + network +
network × setting + sampling, all normal; `between` is the standard deviation of the two network
terms, relative to that of a sampling. All settings are equally good: the truth is their mean over
networks or, with one network, that network's value, the same for all settings. A metric's own
interval is that of its sampling deviation.

`covered` and `best_covered`: share of intervals that contain the truth, of a setting and of the
best one. `ahead`: how often the best is called better than all others; `behind`: how often any
other is called worse than the best; `lead`: how often either happens.

    python benchmarks/repeat_coverage.py --output repeat_coverage.json
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from harness import Benchmark, begin, command_line
from scipy.stats import norm as normal
from scipy.stats import t as student

from scoresweep.pipeline.report.statistics.gaps import ranking_with_gaps
from scoresweep.pipeline.report.statistics.repeats import label_repeats
from scoresweep.pipeline.report.statistics.summary import (
    RankedMetric,
    best_with_selection_interval,
    summarise,
)

NETWORKS = (1, 2, 3, 5)
SAMPLINGS = (1, 5, 10)
BETWEEN = (0.0, 1.0, 4.0)
SETTINGS = (6, 12, 40)

PLAIN = RankedMetric("value", "value", "lower", {})
POSITIVE = RankedMetric("value", "value", "lower", {"valid_min": 0.0})
SHARE = RankedMetric("value", "share", "higher", {"valid_min": 0.0, "valid_max": 1.0})

LAWS = {
    "normal": (PLAIN, lambda z: 100 + z),
    "log-normal": (POSITIVE, lambda z: np.exp(0.3 * z)),
    "share of 50": (SHARE, lambda z: np.round(25 + 3.5 * z).clip(0, 50) / 50),
    "heavy tails": (PLAIN, lambda z: student.ppf(normal.cdf(z), 4)),
}
"""Name to the metric and the transformation of the normal sum to its values."""


def draw(
    repetitions: int,
    shape: tuple[int, int, int],
    between: float,
    law: str,
    random: np.random.Generator,
) -> tuple[pd.DataFrame, float]:
    """Return simulated rows of (settings, networks, samplings) and the truth."""
    settings, networks, samplings = shape
    size = (repetitions, settings, networks, samplings)
    network = between * random.standard_normal((repetitions, 1, networks, 1))
    inner = between * random.standard_normal((repetitions, settings, networks, 1))
    if networks == 1:  # the truth is that network's value
        network, inner = 0 * network, 0 * inner
    values = LAWS[law][1](network + inner + random.standard_normal(size))
    many = random.standard_normal(400_000) * np.sqrt(1 + 2 * between**2 * (networks > 1))
    truth = float(LAWS[law][1](many).mean()) if law != "normal" else 100.0
    names = ["repetition", "setting", "seed", "sample_seed"]
    index = pd.MultiIndex.from_product([range(n) for n in size], names=names)
    frame = pd.DataFrame({"value": values.ravel()}, index=index).reset_index()
    spread = 1.96 * LAWS[law][1](random.standard_normal(400_000)).std()
    frame = frame.assign(value_low=frame["value"] - spread, value_high=frame["value"] + spread)
    return label_repeats(frame, ["seed"], ["sample_seed"], pd.Series(False, frame.index)), truth


def measure(
    benchmark: Benchmark, shape: tuple[int, int, int], between: float, law: str = "normal"
) -> None:
    """Add the row for a number of settings, networks and samplings."""
    settings, networks, samplings = shape
    frame, truth = draw(benchmark.options.repeats, shape, between, law, RANDOM)
    metric = LAWS[law][0]
    summary = summarise(frame, metric, ["repetition", "setting"])
    top = best_with_selection_interval(summary, metric, ["repetition"])
    ranking = ranking_with_gaps(frame, metric, ["setting"], ["repetition"])
    groups = ranking.groupby("repetition")
    ahead, behind = groups["ahead"].any(), groups["behind"].any()
    benchmark.add(
        law=law,
        settings=settings,
        networks=networks,
        samplings=samplings,
        between=between,
        covered=float(summary["low"].le(truth).mul(summary["high"].ge(truth)).mean()),
        best_covered=float(top["low"].le(truth).mul(top["high"].ge(truth)).mean()),
        ahead=float(ahead.mean()),
        behind=float(behind.mean()),
        lead=float((ahead | behind).mean()),
    )


RANDOM = np.random.default_rng(0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    benchmark = begin(command_line(__doc__, repeats=2000), arguments)
    for networks in NETWORKS:
        for samplings in SAMPLINGS:
            for between in BETWEEN if networks > 1 else BETWEEN[:1]:
                measure(benchmark, (2, networks, samplings), between)
    for settings in SETTINGS:
        for networks in NETWORKS:
            for samplings, between in ((1, 0.0), (5, 1.0)):
                measure(benchmark, (settings, networks, samplings), between)
    for law in ("log-normal", "share of 50"):
        for networks in NETWORKS:
            for samplings in (1, 5):
                measure(benchmark, (2, networks, samplings), 1.0, law)
    for settings in (6, 40):
        for samplings in (1, 5):
            measure(benchmark, (settings, 1, samplings), 0.0, "heavy tails")
    benchmark.finish()


if __name__ == "__main__":
    main()
