"""The operating system: processes, durable files, locks, and the layout of a sweep directory."""
