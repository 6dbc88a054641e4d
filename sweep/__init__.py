"""sweep: hyperparameter sweeps with Optuna's samplers, Ray's workers and TensorBoard's HParams tab."""
