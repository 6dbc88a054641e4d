"""Converts choices of `suggest_categorical` to plain JSON values, which the study can store, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

_STORABLE = (type(None), bool, int, float, str)


def choice_labels(name: str, choices: Sequence[Any]) -> list[Any]:
    """The values that represent the choices of a parameter in the study.

    Raises:
        ValueError: two choices have the same label, or a label differs between processes.
    """
    labels = [_label(name, choice) for choice in choices]
    for label in labels:
        if isinstance(label, str):
            check_text(label, f"{name}: a choice")
    first: dict[Any, Any] = {}
    for choice, label in zip(choices, labels, strict=True):
        twin = first.setdefault((type(label), label), choice)
        if twin is not choice and not (_is_storable(twin) and _is_storable(choice)):
            raise ValueError(
                f"{name}: two choices have the name {label!r}; "
                "use strings, and look up their values in a dictionary"
            )
    return labels


def find_choice(value: Any, labels: Sequence[Any]) -> int | None:
    """The index of the choice with a stored or enqueued value; None if no choice has it."""
    for index, label in enumerate(labels):
        if type(label) is type(value) and (label == value or (label != label and value != value)):
            return index
    # An enqueued 1 means True, or 1.0 means 1, if that is a choice: Optuna compares values with ==.
    return labels.index(value) if value in labels else None


def check_text(text: Any, what: str) -> None:
    """Check that the study and TensorBoard can store a string. Values cannot be removed from a study.

    Raises:
        ValueError: they cannot store it.
    """
    if not isinstance(text, str):
        raise ValueError(f"{what} is {text!r}; it must be a string")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} is {text!r}, which is not valid Unicode") from None


def _label(name: str, choice: Any) -> Any:
    choice = _to_python_scalar(choice)
    if type(choice) in _STORABLE:
        return choice
    if _is_storable(choice):  # members of enums, numpy's floats: the label is what another process reads
        return json.loads(json.dumps(choice))
    label = getattr(choice, "__name__", None) or repr(choice)
    if " at 0x" in label:
        raise ValueError(
            f"{name}: the choice {label} has no name that is the same in every process; "
            "use strings, and look up their values in a dictionary"
        )
    return label


def _is_storable(choice: Any) -> bool:
    return isinstance(_to_python_scalar(choice), _STORABLE)


def _to_python_scalar(choice: Any) -> Any:
    """A 0-dimensional numpy value or tensor as a Python number; anything else unchanged."""
    return choice.tolist() if getattr(choice, "ndim", None) == 0 and hasattr(choice, "tolist") else choice
