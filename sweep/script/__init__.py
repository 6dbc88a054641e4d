"""An objective that is a script: a process for each trial, whose metrics are picked up while it runs."""
