"""A function as an objective: finding it, pickling it, and reading what it returns."""
