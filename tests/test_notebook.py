"""Functions that are defined in the cells of a Jupyter notebook, executed by a real kernel."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

from tests.commands import PATIENCE

CELLS = [
    """
import sweep

scale = 10.0

class Model:
    def loss(self, x):
        return scale * (x - 0.5) ** 2

def train(trial):
    print("into the log")
    x = trial.suggest_float("x", 0, 1)
    trial.report(Model().loss(x), 0)
    return Model().loss(x)
""",
    """
result = sweep.run(train, name="cells", n_trials=6, max_parallel=2)
print([row.state for row in result.trials], result.best_value < 2.5)
""",
    """
scale = 20.0  # as one does: change something, run the cell again
again = sweep.run(train, n_trials=2, inline=True)
print(len(again.trials), all(20 * (row.params["x"] - 0.5) ** 2 == row.value for row in again.trials))
""",
    "result.dataframe()[['number', 'state', 'value', 'params.x']].head(2)",
]


@pytest.mark.usefixtures("joining")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_notebook_can_run_sweeps_of_functions_in_its_cells(project: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in CELLS])
    client = NotebookClient(
        notebook,
        timeout=600,
        startup_timeout=PATIENCE,
        iopub_timeout=PATIENCE,
        kernel_name="python3",
        resources={"metadata": {"path": str(project)}},
        # Sockets in files: a port that is found free may be taken when the kernel has started.
        config=Config({"KernelManager": {"transport": "ipc"}}),
    )
    client.execute()
    _, ran, inline, table = [_shown(cell) for cell in notebook.cells]
    assert ran.splitlines()[-1] == f"{['COMPLETE'] * 6} True"
    assert "cells  finished  ━" in ran, "a notebook shows the progress"
    assert "6/6 trials" in ran
    assert re.search(r"^ +5 +complete ", ran, re.MULTILINE)
    html = "".join(output.get("data", {}).get("text/html", "") for output in notebook.cells[1].outputs)
    assert html.count("<pre") == 1, "one picture, which is updated"
    assert ">complete</span>" in html
    assert inline.splitlines()[-1] == "2 True"
    assert "COMPLETE" in table
    assert (project / "runs/cells/trial-0000/output.log").read_text() == "into the log\n"


def _shown(cell: nbformat.NotebookNode) -> str:
    """The printed output and the value of a cell, without warnings of other packages."""
    return "".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
        if output.get("name") != "stderr"
    )
