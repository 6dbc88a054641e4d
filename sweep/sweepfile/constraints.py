"""The sweep file's `constraints`: expressions that hold in every trial."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from sweep.errors import suggestion
from sweep.sweepfile.expressions import Expression
from sweep.sweepfile.types import OrForms, as_list, invalid, short_repr
from sweep.sweepfile.yaml_traps import quoted, split_texts


def _constraint(text: str) -> str:
    return Expression(text).text


def _constraints(raw: Any) -> Any:
    if isinstance(raw, dict):
        raise invalid(f"expected a list of expressions, got {short_repr(raw)}; put each expression in quotes")
    items = as_list(raw)
    if not isinstance(items, (list, tuple)):
        return items
    for index, whole in split_texts(items, "()[]{}''\"\""):
        raise invalid(
            f"{short_repr(items[index])} is only a part of an expression, because YAML splits a list at "
            f"commas; put the whole expression in quotes: {quoted(whole)}",
            key=index,
        )
    for index, item in enumerate(items):
        if not isinstance(item, str):
            raise invalid(
                f"expected a string, got {short_repr(item)}; put the expression in quotes", key=index
            )
    return items


Constraints = Annotated[
    tuple[Annotated[str, AfterValidator(_constraint)], ...],
    BeforeValidator(_constraints),
    OrForms({"type": "string"}),
]

_CONSTANTS = {"true": "True", "false": "False", "null": "None", "none": "None"}
"""How YAML writes constants of expressions."""


def check_constraint_names(constraints: Sequence[str], parameters: Iterable[str]) -> None:
    """Ensure that constraints refer to existing parameters only.

    Args:
        constraints: the constraints.
        parameters: the names of the parameters.
    """
    names = list(parameters)
    for index, text in enumerate(constraints):
        for name in Expression(text).names:
            if name not in names:
                hint = f"write {_CONSTANTS[name]}" if name in _CONSTANTS else suggestion(name, names)
                raise invalid(f"there is no parameter {name!r}; {hint}", key=("constraints", index))
