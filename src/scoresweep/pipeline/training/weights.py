"""Save and load EMA weights, together with the network's options and noise ladder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from torch import Tensor

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.results.kept_weights import describe_missing
from scoresweep.pipeline.study import Run, StudyPaths
from scoresweep.pipeline.study.config import MethodConfig
from scoresweep.pipeline.study.methods.included import INCLUDED
from scoresweep.pipeline.study.methods.networks import AnyNetwork
from scoresweep.pipeline.study.plugins.declared import methods_in
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredNetwork
from scoresweep.pipeline.study.plugins.find_methods import included_methods
from scoresweep.pipeline.study.plugins.plugin_files import find_plugin
from scoresweep.pipeline.study.weights_name import weights_name
from scoresweep.pipeline.system.atomic_files import atomic_write
from scoresweep.pipeline.system.file_cache import load_once
from scoresweep.pipeline.system.file_kinds import describe
from scoresweep.pipeline.system.safetensors_io import save_safetensors, sha256_of_tensors
from scoresweep.pipeline.training.plugin_network import make_plugin_network

__all__ = [
    "build_network",
    "built_in_component",
    "history_folder",
    "load_history",
    "load_network",
    "load_run_network",
    "read_network_file",
    "save_network",
]


def build_network(component: MethodConfig, shape: tuple[int, ...], sigmas: Tensor) -> ScoreNetwork:
    """Build the network of `component` for samples of `shape` and noise levels `sigmas` (L,)."""
    network: ScoreNetwork
    if isinstance(component, DeclaredNetwork):
        network = make_plugin_network(component, shape, sigmas)
    else:
        network = component.load()(shape=shape, sigmas=sigmas, **component.arguments())
    if len(shape) == 3:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def save_network(path: Path, network: ScoreNetwork, component: MethodConfig) -> None:
    """Save weights, noise ladder, options and sample shape to one safetensors file.

    All metadata is in one entry, because safetensors writes several entries in random order, and
    equal weights must give equal files.
    """
    tensors = network.state_dict()
    model = {
        "network": component.model_dump(mode="json"),
        "shape": network.shape,
        "sha256": sha256_of_tensors(tensors),
    }
    if component.origin and component.origin.plugin.sha256:  # not of this package
        model["plugin"] = {"source": component.origin.plugin.source, "content": component.plugin}
    with atomic_write(path) as temporary:
        save_safetensors(temporary, tensors, {"model": json.dumps(model)})


def read_network_file(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what `save_network` recorded in a file about the network, and its tensors.

    Raises:
        SafetensorError: if it is not a safetensors file.
        KeyError: if `save_network` did not write it.
        ValueError: if it is damaged.
        OSError: if it cannot be read.
    """
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        model = json.loads(metadata["model"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if sha256_of_tensors(tensors) != model["sha256"]:
        raise ValueError("it is damaged: its SHA-256 does not match")
    return model, tensors


def load_network(
    run_folder: str | Path,
    plugins: str | Path | Sequence[str | Path] = (),
    *,
    training_step: int | None = None,
    ema: float | None = None,
) -> ScoreNetwork:
    """Load the network of a finished run: EMA weights, evaluation mode, no gradients.

    Its noise ladder is `sigmas`, its sample shape `shape`.

    Args:
        run_folder: folder of the run, `results/STUDY/runs/RUN`.
        plugins: for a network of a plugin, the file, folder or installed module that declares it,
            or several. It is code, which weights alone never load.
        training_step: step after which the weights are used, one that `train.keep` kept; None: the
            last one.
        ema: decay of the averaged weights, one of `train.ema`; None: the first of them.

    Raises:
        InputError: if the weights are missing or damaged, or need a plugin that is not given or
            has changed since.
    """
    sources = [plugins] if isinstance(plugins, str | Path) else plugins
    found = [
        find_plugin(str(source), Path(), "load_network: plugins", "the working directory")
        for source in sources
    ]
    own = [m for plugin in found for m in methods_in(plugin) if issubclass(m, DeclaredNetwork)]
    return _load_once(_find_weights(Path(run_folder), training_step, ema), own)


def _find_weights(run_folder: Path, step: int | None, ema: float | None) -> Path:
    """Return the folder of weights in that of a finished run; None stands for the default."""
    if step is None and ema is None:
        return run_folder
    try:
        train = yaml.safe_load((run_folder / "config.yaml").read_text(encoding="utf-8"))["train"]
    except OSError as error:
        raise InputError(
            f"{run_folder / 'config.yaml'}: {error.strerror}; expected the folder of a run"
        ) from None
    decays = train["ema"] if isinstance(train["ema"], list) else [train["ema"]]
    decay = None if ema is None else float(ema)
    name = weights_name(step, decay, train["steps"], decays[0])
    if name and not (run_folder / "kept" / name / "model.safetensors").exists():
        raise InputError(describe_missing(run_folder, [name]))
    return run_folder / "kept" / name if name else run_folder


def load_run_network(run: Run, paths: StudyPaths, name: str = "") -> ScoreNetwork:
    """Load the network of a finished run of a study, with the weights `name`."""
    path = paths.weights(run.id, name)
    if name and paths.weights(run.id).exists() and not path.exists():
        raise InputError(describe_missing(paths.run(run.id), [name]))
    return _load_once(path.parent, [type(run.train.network)])


def _load_once(run_folder: Path, kinds: Sequence[type[MethodConfig]]) -> ScoreNetwork:
    """Load the network of a run, or its copy; see `_load_network`."""
    path = run_folder / "model.safetensors"
    return load_once("network", (path,), lambda: _load_network(path, kinds), copies=True)


def _load_network(path: Path, kinds: Sequence[type[MethodConfig]]) -> ScoreNetwork:
    """Load a network; `kinds` are the options classes of plugins that it may have."""
    if not path.exists():
        raise InputError(f"{path}: is missing; train the run first (`scoresweep train`)")
    try:
        model, tensors = read_network_file(path)
        component = _component(model, kinds, path)
        network = build_network(component, tuple(model["shape"]), tensors["sigmas"])
        network.load_state_dict(tensors)
    except (SafetensorError, KeyError, ValueError, RuntimeError, OSError) as error:
        kind = describe(path)
        reason = f"it is {kind.description}" if kind.name != "safetensors" else _first_line(error)
        raise InputError(
            f"{path}: expected the weights of a scoresweep network ({reason}); delete the file and "
            f"train the run again, or import weights with `scoresweep import-checkpoint`"
        ) from None
    return network.eval().requires_grad_(False)


def built_in_component(options: Mapping[str, Any]) -> MethodConfig:
    """Return the options of a network of this package; raise `ValueError` if they are not valid."""
    name = options["name"]
    included = [*included_methods({name})] if name in INCLUDED["network"] else []
    adapter: TypeAdapter[MethodConfig] = TypeAdapter(included[0] if included else AnyNetwork)
    return adapter.validate_python(dict(options))


def _component(
    model: dict[str, Any], kinds: Sequence[type[MethodConfig]], path: Path
) -> MethodConfig:
    """Return the options of a network: of a built-in one, or of the plugin that it needs.

    Raises `InputError` if that plugin is not among `kinds`, or has changed.
    """
    made_by = model.get("plugin")
    name = model["network"]["name"]
    if made_by is None:
        return built_in_component(model["network"])
    source, content = made_by["source"], made_by["content"]
    needs = f"{path}: is of the network {name!r} of the plugin {source} ({content})"
    for kind in kinds:
        if kind.origin is None or kind.origin.declaration.name != name:
            continue
        if kind.plugin != content:
            raise InputError(
                f"{needs}, but {kind.origin.plugin} is now {kind.plugin}; expected the file that "
                f"the run was trained with, whose text is in {path.parent / 'provenance.json'}"
            )
        return kind.model_validate(model["network"])
    raise InputError(
        f"{needs}, which is not given; expected load_network({str(path.parent)!r}, "
        f"plugins=[{source!r}]) with the path of that file, absolute or relative to the working "
        f"directory (the study names it relative to the study file)"
    )


def _first_line(error: Exception, max_length: int = 300) -> str:
    """Return the start of an error, which may list every tensor."""
    return " ".join(str(error).split())[:max_length]


def history_folder(history: Path, step: int) -> Path:
    """Return the folder of the weights after `step` steps."""
    return history / f"step-{step:08d}"


def load_history(history: Path, component: MethodConfig) -> dict[int, ScoreNetwork]:
    """Load the networks with the options `component` saved in `history`, by step, ascending."""
    folders, kinds = sorted(history.glob("step-*")), [type(component)]
    return {int(path.name.removeprefix("step-")): _load_once(path, kinds) for path in folders}
