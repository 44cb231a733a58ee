"""Options classes of the methods that plugins declare, one for each method."""

from __future__ import annotations

import functools
import inspect
import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

from pydantic import Field, create_model

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.config import MethodConfig
from scoresweep.pipeline.study.methods.networks import Network
from scoresweep.pipeline.study.methods.samplers import Sampler
from scoresweep.pipeline.study.origin import Origin, Plugin
from scoresweep.pipeline.study.plugins.options import option_fields, parameters_of, summary
from scoresweep.pipeline.study.plugins.plugin_files import describe_exception, load_plugin
from scoresweep.plugins import Kind, declaration_of

__all__ = ["DeclaredNetwork", "DeclaredSampler", "method_class", "methods_in"]

M = TypeVar("M", bound=MethodConfig)

DENOISE = "End with the step x + σ_L² s(x, σ_L), without noise."


def call_hook(hook: Callable[..., Any], *given: Any, **options: Any) -> Any:
    """Call a hook with the options that it takes."""
    parameters = inspect.signature(hook).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return hook(*given, **{k: v for k, v in options.items() if takes_all or k in parameters})


class DeclaredSampler(Sampler):
    """Base class of samplers of plugins."""

    hooks: ClassVar[Mapping[str, Any]]
    accepted: ClassVar[frozenset[str]]
    """Names of the arguments of the function."""

    @property
    def is_denoised_by_pipeline(self) -> bool:
        """Whether the pipeline does the final step after the function."""
        return "denoise" not in self.accepted and bool(getattr(self, "denoise", False))

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for the function."""
        return {k: v for k, v in super().arguments().items() if k in self.accepted}

    @property
    def is_langevin(self) -> bool:
        """As declared."""
        return bool(self.hooks["is_langevin"])

    def num_score_evaluations(self, levels: int) -> int | None:
        """Return what the hook says; None if it is not declared."""
        hook = self.hooks["num_score_evaluations"]
        if hook is None:
            return None
        try:
            return int(call_hook(hook, levels, **self.arguments())) + self.is_denoised_by_pipeline
        except Exception as error:  # noqa: BLE001 - code of the user
            raise self._hook_error("num_score_evaluations", error) from None

    def check(self, sigmas: Sequence[float]) -> None:
        """Call the hook, which raises ValueError if the options do not fit the ladder."""
        hook = self.hooks["check"]
        if hook is None or not all(map(math.isfinite, sigmas)):
            return
        try:
            call_hook(hook, [*sigmas], **self.arguments())
        except ValueError:
            raise
        except Exception as error:  # noqa: BLE001 - code of the user
            raise self._hook_error("check", error) from None

    def load_step_sizes(self) -> Callable[..., Any]:
        """Return the hook `level_step_sizes`, or else a function that returns NaN."""
        return self._step_sizes

    def _step_sizes(self, sigmas: Any, **options: Any) -> Any:
        import torch

        self.check(sigmas.tolist())
        hook = self.hooks["level_step_sizes"]
        if hook is None:
            return torch.full_like(sigmas, math.nan)
        try:
            found = torch.as_tensor(call_hook(hook, sigmas, **options), dtype=torch.float64)
        except ValueError:
            raise
        except Exception as error:  # noqa: BLE001 - code of the user
            raise self._hook_error("level_step_sizes", error) from None
        if found.shape != sigmas.shape:
            raise InputError(
                f"{self.origin}: level_step_sizes: returned {tuple(found.shape)}, expected one "
                f"step size for each level, {tuple(sigmas.shape)}"
            )
        return found

    def _hook_error(self, hook: str, error: Exception) -> InputError:
        return InputError(f"{self.origin}: {hook}: {describe_exception(error)}")


class DeclaredNetwork(Network):
    """Base class of networks of plugins."""

    accepted: ClassVar[frozenset[str]]
    """Names of the arguments of the class or function."""


class _Rules(NamedTuple):
    """What scoresweep passes to the methods of a kind."""

    base: type[MethodConfig]
    positional: int
    """Number of arguments that are passed by position."""
    given: frozenset[str]
    """Arguments that are passed by name, if the function or class takes them."""


RULES: dict[Kind, _Rules] = {
    "sampler": _Rules(
        DeclaredSampler, 3, frozenset({"generator", "observe", "noise", "known", "mask"})
    ),
    "network": _Rules(DeclaredNetwork, 0, frozenset({"shape", "sigmas"})),
}


@functools.cache
def methods_in(plugin: Plugin) -> tuple[type[MethodConfig], ...]:
    """Load a plugin and return an options class for each of its methods.

    Raises `InputError` if it cannot be loaded, declares nothing, or an option is invalid.
    """
    found: dict[int, Origin] = {}
    for attribute, value in vars(load_plugin(plugin)).items():
        declaration = declaration_of(value)
        if declaration is not None:
            found.setdefault(id(value), Origin(plugin, attribute, declaration))
    if not found:
        raise InputError(
            f"{plugin}: declares no method; expected a function or class with a decorator of "
            f"scoresweep.plugins, such as @sampler"
        )
    return tuple(_options_class(origin) for origin in found.values())


def _options_class(origin: Origin) -> type[MethodConfig]:
    """Return the options class of one method."""
    declaration, rules = origin.declaration, RULES[origin.declaration.kind]
    base, target = rules.base, declaration.target
    if not declaration.name.isidentifier():
        raise InputError(
            f"{origin}: cannot be a name in a study; expected letters, digits and '_', as in "
            f"@{declaration.kind}(name='my_method')"
        )
    fields: dict[str, Any] = {"name": (Literal[declaration.name], ...)}
    accepted = _parameters(origin)
    if declaration.kind == "sampler" and declaration.hooks["denoise"] and "denoise" not in accepted:
        fields["denoise"] = (bool, Field(True, description=DENOISE))
    fields |= option_fields(origin, rules.given, rules.positional, frozenset(dir(base)) | {"name"})
    create: Any = create_model  # without the pydantic plugin of mypy
    kind: type[MethodConfig] = create(
        declaration.name.title().replace("_", ""),
        __base__=base,
        __doc__=summary(target) or None,
        __module__=origin.plugin.module,
        **fields,
    )
    facts = {
        "target": f"{origin.plugin.module}:{origin.attribute}",
        "origin": origin,
        "plugin": origin.identity,
        "accepted": accepted,
        "__reduce__": _reduce,
    }
    if declaration.kind == "sampler":
        facts["hooks"] = declaration.hooks
        facts["supports_tasks"] = {"known", "mask", "noise"} <= accepted
    elif declaration.kind == "network":
        facts |= {k: declaration.hooks[k] for k in ("needs_images", "continuous_sigma")}
        facts["smallest_side"] = declaration.hooks["smallest_side"]
    for name, value in facts.items():
        setattr(kind, name, value)
    return kind


def _parameters(origin: Origin) -> frozenset[str]:
    try:
        return frozenset(parameters_of(origin.declaration.target))
    except (ValueError, TypeError) as error:
        raise InputError(f"{origin}: its arguments are not known: {error}") from None


def _reduce(config: MethodConfig) -> tuple[Any, ...]:
    """Pickle the options by the place of their class, which exists only where it is loaded."""
    assert config.origin is not None
    place = config.origin.plugin, config.origin.attribute
    return _blank, place, config.__getstate__()


def _blank(plugin: Plugin, attribute: str) -> MethodConfig:
    """Return options without values, for pickle; load the plugin if this process has not."""
    kind = method_class(plugin, attribute)
    return kind.__new__(kind)


def method_class(plugin: Plugin, attribute: str) -> type[MethodConfig]:
    """Return the options class of the function or class `attribute` of a plugin."""
    for kind in methods_in(plugin):
        if kind.origin is not None and kind.origin.attribute == attribute:
            return kind
    raise pickle.UnpicklingError(f"{plugin}: has no method {attribute!r}")
