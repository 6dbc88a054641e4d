"""The difference between the values that a sweep declares and those that its objective suggests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Domain = tuple[float, float] | list[Any]
"""The bounds of a parameter, or its choices."""


def difference(name: str, declared: Mapping[str, Domain], suggested: Domain) -> str | None:
    """One line for the user if an objective suggests other values than its sweep declares, otherwise None.

    Args:
        name: the parameter's name.
        declared: the domains of the parameters that have one.
        suggested: the bounds or the choices that the objective passes.
    """
    domain = declared.get(name)
    if domain is None or _is_same(domain, suggested):
        return None
    return (
        f"the objective suggests {name} {_text(suggested)}, but the sweep declares it {_text(domain)}, "
        "which is what counts"
    )


def _is_same(declared: Domain, suggested: Domain) -> bool:
    if isinstance(declared, tuple):
        return declared == suggested
    if isinstance(suggested, tuple):
        low, high = suggested
        return all(isinstance(value, (int, float)) and low <= value <= high for value in declared)
    return all(value in suggested for value in declared) and all(value in declared for value in suggested)


def _text(domain: Domain) -> str:
    if isinstance(domain, tuple):
        return f"from {domain[0]:g} to {domain[1]:g}"
    text = ", ".join(map(str, domain))
    return f"as one of {text if len(text) <= 60 else text[:57] + '...'}"
