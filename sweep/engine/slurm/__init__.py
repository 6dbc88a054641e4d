"""Slurm: jobs that give a sweep its machines. Nothing here needs Ray."""
