"""What TensorBoard reads: run directories, event files and the HParams protocol."""
