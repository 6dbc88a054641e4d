"""What is drawn on a terminal: the live display, tables, summaries. Used by the CLI and the Python API."""
