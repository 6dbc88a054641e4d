"""Looking at a sweep, running or finished: what the reading commands and the Python API show."""
