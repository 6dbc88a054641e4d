"""The search space: parameters as Optuna distributions, values of a trial, and TensorBoard columns."""

from sweep.space.space import SearchSpace

__all__ = ["SearchSpace"]
