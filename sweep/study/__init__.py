"""The Optuna study of a sweep: its journal, samplers, pruners, ranking, and compatibility on resume."""
