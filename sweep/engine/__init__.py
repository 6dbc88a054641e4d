"""Where trials run. `base` says what an engine is; `inline` and `ray` are engines."""
