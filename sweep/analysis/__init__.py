"""Analysis of a sweep on disk: its trials, status, failures and artifacts. Read-only."""
