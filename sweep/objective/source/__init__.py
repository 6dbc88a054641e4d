"""An objective's source, read for what it says of parameters and metrics; it is never run."""
