"""The sweep file: what it may say (`model`), how it is read (`load`), how it is written back."""

from sweep.sweepfile.load import SweepFile, load_spec, parse_sweep_file, read_sweep_file
from sweep.sweepfile.model import SweepSpec

__all__ = ["SweepFile", "SweepSpec", "load_spec", "parse_sweep_file", "read_sweep_file"]
