"""The sweep file: its models (`model`), reading and validation (`load`), and its JSON Schema (`schema`)."""

from sweep.sweepfile.load import SweepFile, load_spec, parse_sweep_file, read_sweep_file
from sweep.sweepfile.model import SweepSpec

__all__ = ["SweepFile", "SweepSpec", "load_spec", "parse_sweep_file", "read_sweep_file"]
