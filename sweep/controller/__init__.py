"""The life of a sweep in plain Python, without Ray, torch or a terminal. Start reading at `controller`."""
