"""A directory that is put before a script's PYTHONPATH, for the sake of its `sitecustomize`."""
