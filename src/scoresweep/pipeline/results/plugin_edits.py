"""What is computed again because a plugin was edited, or another version of it was declared."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar, cast

from pydantic import create_model

from scoresweep.pipeline.results.result import Results
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.config import Config, MethodConfig, content_hash
from scoresweep.pipeline.study.ids import names_by_hash, store_hash
from scoresweep.pipeline.study.origin import Plugin
from scoresweep.pipeline.study.plugins.used_plugins import (
    EarlierContent,
    earlier_contents,
    own_methods,
    used_plugins,
)

__all__ = ["Edit", "Recomputed", "find_edits"]

MAX_CONTENTS = 10
"""Number of earlier contents of each plugin that are looked at, the latest ones."""

C = TypeVar("C", bound=Config)

Contents = dict[Plugin, EarlierContent]
"""Earlier contents of some plugins."""


class Edit(NamedTuple):
    """A change of what stands for a plugin in ids."""

    plugin: Plugin
    before: str
    """An earlier SHA-256, or "version V"."""
    now: str


@dataclass
class Recomputed:
    """What an edit makes due although it was computed before."""

    methods: set[str] = field(default_factory=set)
    """Names of the methods."""
    runs: set[str] = field(default_factory=set)
    """Ids of runs."""
    samples: set[tuple[str, str]] = field(default_factory=set)
    """Ids of runs and settings."""
    measured: set[tuple[str, str]] = field(default_factory=set)
    """Ids of runs and settings whose samples stay and are measured again."""
    references: set[tuple[str, str]] = field(default_factory=set)
    """Ids of datasets and keys of extractors whose features of real samples are computed again."""


def find_edits(plan: Plan, results: Results) -> dict[Edit, Recomputed]:
    """Return the edits because of which something is due, and what.

    These are runs, sets of samples, measurements and features of real samples that an earlier
    content of the plugins has computed.
    """
    contents = {p: earlier_contents(plan.paths, p)[-MAX_CONTENTS:] for p in plan.plugins}
    history = {plugin: found for plugin, found in contents.items() if found}
    edits: dict[Edit, Recomputed] = {}
    if history:
        before = _runs_before(plan, history)
        for run in plan.runs:
            if results["train", run.id].is_due and (changed := [c for c, _ in before[run.id] if c]):
                for recomputed in _of_edits(edits, changed[0], run.dataset, run.train):
                    recomputed.runs.add(run.id)
        _add_samples(plan, results, history, before, edits)
        _add_measured(plan, results, history, edits)
        _add_references(plan, results, history, edits)
    return edits


def _runs_before(
    plan: Plan, history: Mapping[Plugin, list[EarlierContent]]
) -> dict[str, list[tuple[Contents, str]]]:
    """Return each run's present id, and those that earlier contents gave it, if they exist."""
    names = names_by_hash([plan.paths.results / "runs"])
    found: dict[str, list[tuple[Contents, str]]] = {}
    for run in plan.runs:
        found[run.id] = [({}, run.id)]
        for contents in _combinations(history, run.dataset, run.train):
            dataset, train = _as_before(run.dataset, contents), _as_before(run.train, contents)
            if name := names.get(content_hash(dataset.id, train)):
                found[run.id].append((contents, name))
    return found


def _add_samples(
    plan: Plan,
    results: Results,
    history: Mapping[Plugin, list[EarlierContent]],
    runs: Mapping[str, list[tuple[Contents, str]]],
    edits: dict[Edit, Recomputed],
) -> None:
    """Add the sets of samples that are due and were drawn with earlier contents."""

    @functools.cache
    def drawn(run: str) -> dict[str, str]:
        return names_by_hash([plan.paths.results / "samples" / run])

    @functools.cache
    def variants(setting_id: str) -> list[tuple[Contents, str]]:
        sample = settings[setting_id].sample
        changed = _combinations(history, sample)
        return [(c, store_hash(_as_before(sample, c))) for c in ({}, *changed)]

    settings, blocks = plan.settings_by_id(), {run.id: run for run in plan.runs}
    due = [k for k, result in results.by_key.items() if k[0] == "sample" and result.is_due]
    for _, run_id, setting_id in due:
        if settings[setting_id].store in drawn(run_id).values():
            continue
        for (of_run, name), (of_setting, digest) in itertools.product(
            runs[run_id], variants(setting_id)
        ):
            if (of_run or of_setting) and digest in drawn(name):
                run, setting = blocks[run_id], settings[setting_id]
                used = run.dataset, run.train, setting.sample
                for recomputed in _of_edits(edits, of_run | of_setting, *used):
                    recomputed.samples.add((run_id, setting_id))
                break


def _add_measured(
    plan: Plan,
    results: Results,
    history: Mapping[Plugin, list[EarlierContent]],
    edits: dict[Edit, Recomputed],
) -> None:
    """Add the measurements that are due and were made with earlier contents."""
    blocks = plan.evaluate_blocks
    before: dict[str, Contents] = {}
    for contents in _combinations(history, *blocks):
        evaluations = [
            replace(each, evaluate=_as_before(each.evaluate, contents)) for each in plan.evaluations
        ]
        before.setdefault(replace(plan, evaluations=evaluations).evaluate_hash(), contents)
    for (rule, *ids), result in results.by_key.items():
        if rule != "evaluate" or result.state != "outdated":
            continue
        file = result.output.read_bytes()
        found = [contents for key, contents in before.items() if key.encode() in file]
        for recomputed in _of_edits(edits, found[0], *blocks) if found else ():
            recomputed.measured.add((ids[0], ids[1]))


def _add_references(
    plan: Plan,
    results: Results,
    history: Mapping[Plugin, list[EarlierContent]],
    edits: dict[Edit, Recomputed],
) -> None:
    """Add the features of real samples that are due and that an earlier extractor has computed."""
    for (rule, *ids), result in results.by_key.items():
        if rule != "reference" or not result.is_due:
            continue
        dataset, key = ids
        extractor = plan.extractors[key]
        if extractor.method is None:
            continue
        for contents in _combinations(history, extractor.method):
            before = replace(extractor, method=_as_before(extractor.method, contents)).key
            if plan.reference(dataset, before).exists():
                for recomputed in _of_edits(edits, contents, extractor.method):
                    recomputed.references.add((dataset, key))
                break


def _combinations(
    history: Mapping[Plugin, list[EarlierContent]], *blocks: Config
) -> Iterator[Contents]:
    """Yield the earlier contents of one or more plugins that the blocks use, the latest first."""
    plugins = [plugin for plugin in used_plugins(*blocks) if plugin in history]
    choices = [(None, *reversed(history[plugin])) for plugin in plugins]
    for chosen in itertools.islice(itertools.product(*choices), 1, None):
        yield {p: content for p, content in zip(plugins, chosen, strict=True) if content}


def _of_edits(
    edits: dict[Edit, Recomputed], contents: Contents, *blocks: Config
) -> list[Recomputed]:
    """Return the entries of the edits of methods in `blocks` since `contents`; add new ones."""
    found: dict[Edit, Recomputed] = {}
    for method in own_methods(blocks):
        assert method.origin is not None
        plugin = method.origin.plugin
        before = contents[plugin].identity(method.origin) if plugin in contents else method.plugin
        if before != method.plugin:
            edit = Edit(plugin, before, method.plugin)
            found[edit] = edits.setdefault(edit, Recomputed())
            found[edit].methods.add(method.origin.declaration.name)
    return [*found.values()]


def _as_before(config: C, contents: Contents) -> C:
    """Return a block whose hash is the one that it had with earlier contents of plugins."""
    if isinstance(config, MethodConfig):
        if config.origin is None or config.origin.plugin not in contents or not config.plugin:
            return config
        identity = contents[config.origin.plugin].identity(config.origin)
        return cast("C", _class_before(type(config), identity).model_construct(**dict(config)))
    values = {key: getattr(config, key) for key in type(config).model_fields}
    blocks = {key: value for key, value in values.items() if isinstance(value, Config)}
    lists = {key: value for key, value in values.items() if isinstance(value, list)}
    update: dict[str, Any] = {k: _as_before(block, contents) for k, block in blocks.items()}
    update |= {
        key: [_as_before(x, contents) if isinstance(x, Config) else x for x in value]
        for key, value in lists.items()
    }
    return config.model_copy(update=update)


@functools.cache
def _class_before(kind: type[MethodConfig], identity: str) -> type[MethodConfig]:
    """Return an options class that stands for another content of its plugin."""
    found = create_model(kind.__name__, __base__=kind)
    found.plugin = identity
    return found
