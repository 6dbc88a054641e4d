"""W&B's sweep files: reading them, the rules for their `command`, and W&B's hyperband.

W&B's semantics are those of its open-source packages `wandb` (client) and `sweeps` (sampler).
"""
