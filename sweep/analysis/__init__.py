"""A sweep as it is on disk, running or finished: what the reading commands and the Python API show."""
