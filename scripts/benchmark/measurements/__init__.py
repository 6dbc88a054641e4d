"""The measurements. Each module has

* `TITLE` and `LIMIT`, the seconds that one case may take;
* `cases(quick)`, what to measure of whom;
* `measure(case, folder)`, which measures one case in a process of its own;
* `COLUMNS` of its table.
"""

from __future__ import annotations

from benchmark.measurements import busy, cost, first_step, growth, reports

MEASUREMENTS = {
    "a": cost,
    "b": busy,
    "c": first_step,
    "d": reports,
    "e": growth,
}
