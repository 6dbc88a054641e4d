"""The sweep file: what it may say (`model`), how it is read (`load`), how it is written back."""

from sweep.spec.load import load_spec, parse_spec
from sweep.spec.model import SweepSpec

__all__ = ["SweepSpec", "load_spec", "parse_spec"]
