"""Trials on machines without the sweep's directory: their files travel to it while they are written."""
