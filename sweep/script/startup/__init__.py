"""A directory that is prepended to a script's PYTHONPATH, so that Python imports its `sitecustomize`."""
