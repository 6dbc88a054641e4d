"""Sweeps in an object store (`--runs s3://...`), which have a copy there while they run and afterwards."""
