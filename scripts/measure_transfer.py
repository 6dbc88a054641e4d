#!/usr/bin/env python3
"""Measures how fast the files of a trial travel from a machine without the sweep's directory.

    python scripts/measure_transfer.py --mb 1000

A trial on a second Ray node, which has separate directories (`separate_nodes.py`), saves one large checkpoint
and prints a line every 0.2 s until the checkpoint has arrived.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from separate_nodes import SeparateNodes

OBJECTIVE = """
    import os, time
    from pathlib import Path

    HERE = Path(__file__).parent

    def train(trial):
        block = os.urandom(1 << 20)
        with trial.checkpoint.save(0) as path, open(path / "model", "wb") as file:
            for _ in range(MB * 10**6 // len(block)):
                file.write(block)
        (HERE / "saved").write_text(str(time.time()))
        while not (HERE / "arrived").exists():
            print(time.time(), flush=True)
            time.sleep(0.2)
        return 0.0
    """
SWEEP = """
    objective: objective.py:train
    metric: {name: loss, goal: minimize}
    parameters: {x: {min: 0, max: 1}}
    stop: {trials: 1}
    """


def measure(folder: Path, megabytes: int) -> str:
    """Run the sweep in a folder; returns what was measured."""
    (folder / "objective.py").write_text(textwrap.dedent(OBJECTIVE).replace("MB", str(megabytes)))
    (folder / "space.yaml").write_text(textwrap.dedent(SWEEP))
    (runs := folder / "runs").mkdir()
    trial = runs / "space" / "trial-0000"
    with SeparateNodes([runs], num_cpus=0) as nodes:
        nodes.add()
        sweep = [sys.executable, "-c", "from sweep.cli import main; main()", "run", "space.yaml"]
        command = [*sweep, "--address", nodes.address]
        with subprocess.Popen(command, cwd=folder, env={**os.environ, **nodes.env}) as run:
            worst = 0.0
            while not (trial / "checkpoint/0000-step-0").exists():
                if run.poll() is not None:
                    sys.exit("the sweep has ended early")
                time.sleep(0.02)
                lines = (trial / "output.log").read_text().split() if (trial / "output.log").exists() else []
                if lines:  # how old the newest line is that has arrived
                    worst = max(worst, time.time() - float(lines[-1]))
            seconds = time.time() - float((folder / "saved").read_text())
            (folder / "arrived").touch()
    return (
        f"a checkpoint of {megabytes} MB arrived {seconds:.1f} s after it was saved, "
        f"{megabytes / seconds:.0f} MB/s; the newest line of output.log was at most {worst:.1f} s old"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mb", type=int, default=1000, help="the size of the checkpoint")
    with tempfile.TemporaryDirectory() as created:
        print(measure(Path(created), parser.parse_args().mb))
