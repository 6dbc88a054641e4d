"""An objective that is a script: a process for each trial, whose metrics are picked up while it runs."""

from sweep.objective.script.reference import ScriptReference

__all__ = ["ScriptReference"]
