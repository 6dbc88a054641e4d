"""Renders what `sweep.analysis` knows: an HTML report, plots and exports. Needs the extra `analysis`."""
