"""`ScalarReader`: reads the scalars of an event file, whichever library wrote it."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterable
from typing import Any

HOURS = "time/hours"
"""The tag of the time that a run has taken so far, which the sweep adds to what the objective logs."""
_SCALARS = "scalars"
"""The TensorBoard plugin whose tensors are scalars."""


def as_stored(value: float) -> float:
    """A number with the precision of event files."""
    return ctypes.c_float(value).value


def is_in_curve(value: float, curve: Iterable[float]) -> bool:
    """Whether a curve contains a value, with the precision of event files. Infinity and NaN always count."""
    return not math.isfinite(value) or as_stored(value) in map(as_stored, curve)


class ScalarReader:
    """Reads the scalars of a file. TensorFlow, and torch on request, write them as tensors."""

    def __init__(self) -> None:
        self._tags: set[str] = set()

    def read(self, value: Any) -> float | None:
        """The number in a value of a summary, or None if it is not a scalar."""
        if value.HasField("simple_value"):
            return float(value.simple_value)
        if not value.HasField("tensor"):
            return None
        if value.metadata.plugin_data.plugin_name == _SCALARS:
            self._tags.add(value.tag)  # only the first record of a tag must have the metadata
        return _read_tensor(value.tensor) if value.tag in self._tags else None


def _read_tensor(tensor: Any) -> float | None:
    """The number in a tensor with one element, or None."""
    from tensorboard.compat.proto.tensor_pb2 import TensorProto  # slow to import, and rarely needed
    from tensorboard.util.tensor_util import make_ndarray

    try:
        array = make_ndarray(TensorProto.FromString(tensor.SerializeToString()))
        return float(array.item())
    except (TypeError, ValueError):  # not a number, or several
        return None
