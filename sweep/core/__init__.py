"""The life of a sweep, in plain Python: no Ray, no torch, no terminal. Begin with `controller`.

`messages` and `lock` import no Optuna, so that workers and `--help` stay light; nothing is imported here.
"""
