"""Draws the live display of a running sweep as a picture for README: scripts/picture.py NAME docs/display.svg

Waits until the sweep has finished some trials and the time left is known.
"""

from __future__ import annotations

import io
import re
import sys
import time
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from sweep.analysis.following import Follower
from sweep.analysis.view import SweepView
from sweep.console.live import PictureDisplay
from sweep.system.directory import RUNS

LEAST_TRIALS = 8
SIZE = 104, 34
FONTS = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def main(name: str, file: Path) -> None:
    """Follow the sweep, and draw its display once there is enough to see."""
    view = SweepView.open(name, RUNS)
    follower, display = Follower(view), PictureDisplay(view.spec)
    look = follower.look()
    display.on_history(follower.latest(5))
    display.on_reports(look.reports)
    display.on_ready(look.slots, look.progress)
    while True:
        picture = display.picture()
        assert picture is not None
        is_interesting = all(trial.last for trial in look.progress.running) and bool(picture.left)
        if is_interesting and look.progress.finished >= LEAST_TRIALS:
            break
        if not follower.is_running:
            sys.exit(f"{name} has stopped; start it again")
        time.sleep(0.5)
        look = follower.look()
        display.on_reports(look.reports)
        for result in look.results:
            display.on_attempt_end(result)
        display.on_progress(look.progress)
    width, height = SIZE
    console = Console(
        record=True, file=io.StringIO(), width=width, height=height, force_terminal=True,
        color_system="truecolor", highlight=False,
    )  # fmt: skip
    console.print(picture, end="")
    # rich's own format loads a font from the network, which README's viewer does not.
    form = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    form = form.replace("Fira Code, monospace", FONTS)
    svg = console.export_svg(title=f"sweep run {name.replace('-', '_')}.yaml", code_format=form)
    file.write_text("\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
