"""The files that TensorBoard reads: run directories, event files and the HParams protocol."""
