"""The parts of `scripts/bench.py`: contestants, measurements, and tables."""
