"""The Ray engine: trials in parallel in warm workers, on one machine or a cluster."""
