#!/usr/bin/env python3
"""Measures this project and its peers on this machine, in turn, and prints medians and ratios as Markdown.

    pip install -e '.[bench]'
    python scripts/bench.py                     # everything
    python scripts/bench.py a c                 # two of the measurements
    python scripts/bench.py --quick             # tiny counts, which only show that everything runs
    python scripts/bench.py e --trials 100000   # trials without reports

Each case (a measurement of a contestant) runs in a separate process. In each repetition, all contestants of a
measurement take turns, so that a slow minute of the machine does not slow one of them alone.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from benchmark import job
from benchmark.case import Case, Values
from benchmark.contestants import TITLES, missing
from benchmark.measurements import MEASUREMENTS
from benchmark.system import describe
from benchmark.table import Runs, table
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


def main() -> None:
    options = parse(sys.argv[1:])
    machine = describe()
    print(f"{machine}\n", flush=True)
    runs: dict[str, Runs] = {}
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        for letter in options.letters:
            runs[letter] = measure(letter, options, Path(folder))
            print(markdown(letter, runs[letter]), flush=True)
            if options.json:
                options.json.write_text(as_json(machine, runs))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    titles = "; ".join(f"{letter}: {measurement.title}" for letter, measurement in MEASUREMENTS.items())
    add = parser.add_argument
    add("letters", nargs="*", metavar="LETTER", help=f"measurements (default: all). {titles}")
    add("--quick", action="store_true", help="tiny counts, one repetition")
    add("--repetitions", type=at_least(1), default=3, metavar="N", help="of all but e (default: 3)")
    add("--trials", type=at_least(20), metavar="N", help="e: only sweeps of N trials without reports")
    add("--json", type=Path, metavar="FILE", help="write all values into a file, too")
    options = parser.parse_args(arguments)
    options.letters = options.letters or list(MEASUREMENTS)
    for letter in options.letters:
        if letter not in MEASUREMENTS:
            parser.error(f"{letter}: is not a measurement; choose from {', '.join(MEASUREMENTS)}")
    if options.json:
        try:
            options.json.touch()
        except OSError as error:
            parser.error(f"--json {options.json}: cannot be written ({error.strerror}); name another file")
    return options


def at_least(minimum: int) -> Callable[[str], int]:
    """The type of an option that is a whole number."""

    def number(text: str) -> int:
        if int(text) < minimum:
            raise argparse.ArgumentTypeError(f"{text}: has to be at least {minimum}")
        return int(text)

    return number


def measure(letter: str, options: argparse.Namespace, folder: Path) -> dict[Case, list[Values | str]]:
    """Measure all cases of a measurement, one after another, as often as there are repetitions."""
    measurement = MEASUREMENTS[letter]
    repetitions = options.repetitions if measurement.is_repeated and not options.quick else 1
    runs: dict[Case, list[Values | str]] = {
        case: [reason] if (reason := case.skipped or missing(case.contestant)) else []
        for case in measurement.cases(options.quick, options.trials)
    }
    turns = [case for _ in range(repetitions) for case, values in runs.items() if not values]
    for number, case in enumerate(progress(letter, turns)):
        own = folder / (letter if measurement.keeps_folder else f"{letter}-{number}")
        runs[case].append(job.measure(case, own, measurement.limit))
        if not measurement.keeps_folder:
            shutil.rmtree(own, ignore_errors=True)
    return runs


def progress(letter: str, turns: list[Case]) -> Iterator[Case]:
    """The cases; what is measured now is shown on the terminal, or printed in a log."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"({letter})", total=len(turns))
        for case in turns:
            bar.update(task, description=str(case))
            if not console.is_terminal:
                console.print(f"... {case}", highlight=False)
            yield case
            bar.advance(task)


def markdown(letter: str, runs: Runs) -> str:
    """The tables of a measurement."""
    measurement = MEASUREMENTS[letter]
    labels = {case.label for case in runs}
    repetitions = max(len(values) for values in runs.values())
    lines = [f"## ({letter}) {measurement.title}", "", measurement.about, ""]
    for heading, columns in measurement.tables.items():
        shown = [column for column in columns if column.label in labels]
        if shown:
            lines += [f"{heading}; medians of {repetitions}:", "", table(TITLES, shown, runs), ""]
    return "\n".join(lines)


def as_json(machine: str, runs: dict[str, Runs]) -> str:
    """All values of all repetitions."""
    cases = [{**asdict(case), "values": values} for cases in runs.values() for case, values in cases.items()]
    return json.dumps({"machine": machine, "cases": cases}, indent=1)


if __name__ == "__main__":
    main()
