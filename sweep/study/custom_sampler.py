"""Samplers that a sweep file names by their class: the user's own, and OptunaHub's."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Collection

from optuna.samplers import BaseSampler

from sweep.errors import EntryError, suggestion
from sweep.sweepfile.samplers import CustomSampler
from sweep.system.importing import check_class, construct, load_class, one_line, subclasses

_KEY = "sampler.type"


def make_custom_sampler(sampler: CustomSampler, seed: int) -> BaseSampler:
    """Import the class and construct the sampler; it receives the seed if it has a parameter `seed`.

    Raises:
        EntryError: the class does not exist or cannot be imported, or it rejects its options.
    """
    class_: type[BaseSampler]
    if sampler.type.startswith("hub:"):
        class_ = _load_from_hub(sampler.type)
    else:
        class_ = load_class(_KEY, sampler.type, BaseSampler)  # type: ignore[type-abstract]
    options = sampler.options
    if "seed" in _parameters(class_):
        options["seed"] = seed
    return construct("sampler", sampler.type, class_, options)


def _load_from_hub(text: str) -> type[BaseSampler]:
    package, _, name = text.removeprefix("hub:").partition(":")
    try:
        import optunahub

        module = optunahub.load_module(f"samplers/{package}")
    except ModuleNotFoundError as error:
        raise EntryError(_KEY, f"{text!r} needs the package {error.name}; pip install {error.name}") from None
    except Exception as error:  # noqa: BLE001 - git, HTTP, the package itself
        raise EntryError(
            _KEY,
            f"{text!r} cannot be fetched from OptunaHub: {one_line(error)}; see https://hub.optuna.org for "
            "names, and whether this machine reaches github.com",
        ) from None
    names = subclasses(module, BaseSampler)
    names = [public for public in getattr(module, "__all__", names) if public in names] or names
    if name:
        if name not in names:
            raise EntryError(_KEY, f"{text!r}: {package} has no sampler {name!r}; {suggestion(name, names)}")
    elif len(names) != 1:
        raise EntryError(
            _KEY,
            f"{text!r} has {len(names) or 'no'} samplers"
            + (f"; write hub:{package}:{names[0]}, or another of {', '.join(names)}" if names else ""),
        )
    return check_class(_KEY, text, getattr(module, name or names[0]), BaseSampler)  # type: ignore[type-abstract]


def _parameters(class_: type) -> Collection[str]:
    try:
        return inspect.signature(class_).parameters
    except (TypeError, ValueError):
        return ()


def raised_by_custom_sampler(sampler: object, error: BaseException) -> bool:
    """Whether an exception was raised in, or through, the code of a sweep's custom sampler."""
    if not isinstance(sampler, CustomSampler):
        return False
    module = sampler.type.partition(":")[0]
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(frame.f_globals.get("__name__") == module for frame in frames)
