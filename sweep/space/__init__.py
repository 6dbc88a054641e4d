"""The search space: what Optuna samples, what the trial gets, and what TensorBoard shows of it."""

from sweep.space.space import SearchSpace

__all__ = ["SearchSpace"]
