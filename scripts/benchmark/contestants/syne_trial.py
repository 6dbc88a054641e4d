"""A trial of Syne Tune, which starts a process for each."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from syne_tune import Reporter

from benchmark.work import Work, times_file, train


def main() -> None:
    folder = Path(os.environ["BENCH_FOLDER"])
    work = Work.read(folder)
    if work.torch:
        import torch  # noqa: F401
    parser = argparse.ArgumentParser()
    for name in work.names:
        parser.add_argument(f"--{name}", type=float)
    options, _ = parser.parse_known_args()
    report = Reporter()
    train(
        work,
        options.x0,
        lambda value, step: report(loss=value, step=step + 1),
        lambda: False,
        times_file(folder),
    )


if __name__ == "__main__":
    main()
