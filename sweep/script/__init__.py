"""An objective that is a script: one process per trial, whose metrics are collected while it runs."""
