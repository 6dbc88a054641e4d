"""The Ray engine: runs trials in parallel in warm workers, on one machine or a cluster."""
