"""Open the folder of a finished run: its network, its ladder, and samples of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.errors import InputError, did_you_mean, join_names
from scoresweep.pipeline.sampling.chunks import draw
from scoresweep.pipeline.sampling.sampling_job import ONE_CORE, SamplingJob
from scoresweep.pipeline.study import Plan, Sample, Study, StudyPaths, parse_study, plan_study
from scoresweep.pipeline.study.validation_errors import shorten
from scoresweep.pipeline.system.atomic_files import read_json
from scoresweep.pipeline.training.weights import load_network

__all__ = ["OpenRun", "open_run"]

NOT_OPTIONS = ("count", "best_step", "trajectories")
"""Keys of a `sample` block that have no place in `sample(...)`."""


@dataclass(frozen=True)
class _RunPaths(StudyPaths):
    """Paths of a study of which one run may be in another place."""

    folder: Path = Path()
    """Folder of that run."""

    def run(self, run: str) -> Path:  # noqa: ARG002
        """Folder of the run, whatever its id."""
        return self.folder


def open_run(run_folder: str | Path, plugins: str | Path | Sequence[str | Path] = ()) -> OpenRun:
    """Open a finished run to use its network, and to draw samples without a study file.

    ```python
    run = scoresweep.open_run("results/digits/runs/levels=10_seed=0_3f2a9c1b")
    images = run.sample(16, step_size=3e-3)  # (16, 1, 8, 8), in [0, 1] apart from noise
    score = run.score(images, run.noise[-1:].expand(16))
    ```

    Args:
        run_folder: folder of the run, `results/STUDY/runs/RUN`. A copy elsewhere works too; then
            the defaults of `sample` are unknown, and there are no data to start from.
        plugins: the files, folders or installed modules of plugins that the run or a sampler
            needs, absolute or relative to the working directory. They are code, which is run.

    Raises:
        InputError: if it is not the folder of a finished run, or a plugin is missing or has
            changed since.
    """
    folder = Path(run_folder)
    config = _read_config(folder)
    sources = [plugins] if isinstance(plugins, str | Path) else plugins
    network = load_network(folder, plugins)
    return OpenRun(folder, config, network, tuple(map(str, sources)))


@dataclass(frozen=True, eq=False)
class OpenRun:
    """A finished run; `open_run` makes it."""

    folder: Path
    """Its folder."""
    config: dict[str, Any]
    """Content of its `config.yaml`: the blocks `dataset` and `train`, and its swept `axes`."""
    network: ScoreNetwork
    """The network with its EMA weights, in evaluation mode, without gradients."""
    plugins: tuple[str, ...] = ()
    """Plugins that it may use."""

    @property
    def score(self) -> ScoreNetwork:
        """The score: `score(x, sigma)` of `x` (N, *shape) and `sigma` (N,), as `x`."""
        return self.network

    @property
    def noise(self) -> Tensor:
        """The noise ladder of training, descending, (L,)."""
        return self.network.sigmas

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a sample: (C, H, W) of an image, (D,) of a point."""
        return self.network.shape

    @cached_property
    def settings(self) -> dict[str, dict[str, Any]]:
        """The `sample` block of each setting whose samples the study has drawn, by store."""
        folder = self._paths.results / "samples" / self.folder.resolve().name
        found = {path.stem: read_json(path).get("sample") for path in sorted(folder.glob("*.json"))}
        return {name: json.loads(text) for name, text in found.items() if text}

    def sample(
        self,
        count: int,
        *,
        sampler: str | dict[str, Any] | None = None,
        setting: str | None = None,
        seed: int | None = None,
        device: str = "cpu",
        **options: Any,
    ) -> Tensor:
        """Draw samples, as the study draws them.

        With the options and the seed of one of its settings, they are the first `count` samples of
        that setting. Like these, they are drawn in whole chunks of 250 or of the study's `chunk`:
        `chunk=16` makes few samples quicker, and other ones. A store holds images clamped to [0, 1]
        and rounded to 256 grey values; here they are neither.

        Args:
            count: number of samples.
            sampler: name of a sampler, or a block such as `{"name": "langevin", "steps": 100}`;
                None: that of the study. Options of the study's sampler stay unless the name
                differs.
            setting: name or hash of one of `settings`, whose options are the defaults; None: the
                options that all settings share. An option in which they differ must be given.
            seed: seed of the samples; None: that of the study, which is that of the run unless
                `sample.seed` is set.
            device: "cpu", "cuda" or "cuda:1". Results of different devices, and of different
                numbers of threads, differ by rounding.
            options: options of the sampler (`step_size`, `steps_per_level`, ...), and those of a
                `sample` block, such as `noise`, `initial`, `task`, `chunk`, `training_step`, `ema`
                or `precision`, as a study file writes them. Without settings, the defaults are
                those of study files.

        Returns:
            The samples, float32. Images (count, C, H, W): the data's range from black to white is
            0 to 1 (remaining noise can exceed it; multiply by 255 for bytes). Points (count, D), in
            the units of the data.

        Raises:
            InputError: if an option is unknown, missing, or does not fit the run.
            RunError: if samples are not finite, as with too large a step size.
        """
        if count < 1:
            raise InputError(f"sample: count: {count}: expected 1 or more")
        given = self._options(sampler, setting, options)
        given |= {"count": max(count, 2)} | ({} if seed is None else {"seed": seed})
        job = self._job(given)
        network = copy.deepcopy(self.network)
        if job.weights:
            chosen = job.setting.sample
            step = chosen.training_step if isinstance(chosen.training_step, int) else None
            network = load_network(self.folder, self.plugins, training_step=step, ema=chosen.ema)
        return draw(job, device, network.to(device))[:count]

    def _job(self, sample: dict[str, Any]) -> SamplingJob:
        """Check options as those of a study file are checked; return the job that draws them."""
        plan = self._plan(sample)
        chosen, paths = plan.settings[0], self._paths
        if chosen.sample.training_step == "best":
            raise InputError("sample: training_step: 'best': expected the step, or None: the last")
        run = replace(plan.runs[0], id=self.folder.resolve().name)
        weights = run.weights_of(chosen.sample)
        return SamplingJob(run, chosen, paths, ONE_CORE, weights_sha256="", weights=weights)

    def _plan(self, sample: dict[str, Any]) -> Plan:
        content = {
            "study": "open_run",
            **({"plugins": list(self.plugins)} if self.plugins else {}),
            "dataset": self.config["dataset"],
            "train": self.config["train"],
            "sample": sample,
            "evaluate": {"metrics": ["score_error"], "extractors": ["pixels"]},
        }
        study: Study = parse_study(content, str(self.folder), Path())
        return plan_study(study, self._paths.root, str(self.folder))

    @cached_property
    def _paths(self) -> _RunPaths:
        """The paths of the study, if the folder is where the study wrote it."""
        folder = self.folder.resolve()
        if folder.parts[-4:-3] == ("results",) and folder.parent.name == "runs":
            return _RunPaths(folder.parents[1].name, folder.parents[3], folder)
        return _RunPaths("open_run", folder / "no study", folder)

    def _options(
        self, sampler: str | dict[str, Any] | None, setting: str | None, options: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the content of a `sample` block: the defaults, with `options` set."""
        if wrong := [key for key in options if key in NOT_OPTIONS]:
            raise InputError(f"sample: {join_names(wrong)}: cannot be set here")
        block = {key: value for key, value in options.items() if key in Sample.model_fields}
        own = {key: value for key, value in options.items() if key not in block}
        named = {"name": sampler} if isinstance(sampler, str) else dict(sampler or {})
        settings = [self._setting(setting)] if setting else list(self.settings.values())
        samplers = [each["sampler"] for each in settings]
        if "name" in named:
            samplers = [each for each in samplers if each["name"] == named["name"]]
        elif not samplers:
            raise InputError(
                f"sample: sampler: is missing, and {self.folder} has no drawn settings whose "
                f"sampler is the default; expected a name, such as sampler='annealed_langevin'"
            )
        chosen = _common(samplers, "sampler.", named | own)
        shared = _common([_without_sampler(each) for each in settings], "", block)
        return {**shared, "sampler": chosen}

    def _setting(self, name: str) -> dict[str, Any]:
        for known, sample in self.settings.items():
            if name == known or name[-8:] == known[-8:]:
                return sample
        raise InputError(
            f"sample: setting: {name!r}: {self.folder} has no drawn setting of this name."
            f"{did_you_mean(name, self.settings)} Expected one of "
            f"{join_names(self.settings) or '(none)'}"
        )


def _without_sampler(sample: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a `sample` block that `sample(...)` takes by themselves."""
    return {k: v for k, v in sample.items() if k not in ("sampler", *NOT_OPTIONS)}


def _common(blocks: Sequence[dict[str, Any]], where: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the options that all `blocks` share, with those of `given` set.

    Blocks that differ from `given` in an option count only if none agrees. Raises `InputError` for
    an option in which the blocks differ, unless it is given.
    """
    for key, value in given.items():
        blocks = [block for block in blocks if block.get(key) == value] or blocks
    keys = dict.fromkeys(key for block in blocks for key in block if key not in given)
    for key in keys:
        values = list(dict.fromkeys(shorten(block.get(key)) for block in blocks))
        if len(values) > 1:
            raise InputError(
                f"sample: {where}{key}: differs between the settings that the study has drawn "
                f"({join_names(values, 6)}); expected a value, or setting=NAME"
            )
    return (blocks[0] if blocks else {}) | given


def _read_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a run; raise `InputError` if there is none."""
    path = folder / "config.yaml"
    try:
        config: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(config["train"], dict) or not isinstance(config["dataset"], dict):
            raise TypeError
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}; expected the folder of a run, results/STUDY/runs/RUN"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError):
        raise InputError(
            f"{path}: is not the configuration of a run; expected the blocks dataset and train"
        ) from None
    return config
