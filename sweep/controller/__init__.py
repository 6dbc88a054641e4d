"""The life of a sweep in plain Python: no Ray, no torch, no terminal. Begin with `controller`."""
