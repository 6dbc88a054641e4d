"""Terminal output: the progress display, tables and summaries. Used by the CLI and the Python API."""
