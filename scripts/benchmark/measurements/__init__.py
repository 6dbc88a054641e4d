"""The measurements, by their letters."""

from __future__ import annotations

from benchmark.measurements import busy, cost, first_step, growth, opening, reports, tensorboard

MEASUREMENTS = {
    "a": cost.MEASUREMENT,
    "b": busy.MEASUREMENT,
    "c": first_step.MEASUREMENT,
    "d": reports.MEASUREMENT,
    "e": growth.MEASUREMENT,
    "f": opening.MEASUREMENT,
    "g": tensorboard.MEASUREMENT,
}
