"""Engines: where trials run. `base` has the interface, `inline` and `ray` implement it."""
