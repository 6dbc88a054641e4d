"""The sweep file: its models (`model`), reading and validation (`load`), and its JSON Schema (`schema`).

The names below are imported on first use. A worker needs a few constants of this package, but neither the
models nor pydantic.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweep.sweepfile.load import SweepFile as SweepFile
    from sweep.sweepfile.load import load_spec as load_spec
    from sweep.sweepfile.load import parse_sweep_file as parse_sweep_file
    from sweep.sweepfile.load import read_sweep_file as read_sweep_file
    from sweep.sweepfile.model import SweepSpec as SweepSpec

__all__ = ["SweepFile", "SweepSpec", "load_spec", "parse_sweep_file", "read_sweep_file"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{'model' if name == 'SweepSpec' else 'load'}"), name)
