"""The HParams tab in a real browser: a sweep of 200 trials, while it runs and after it has finished.

One sweep, one TensorBoard and one browser serve all tests. The front end consists of custom elements with
shadow roots. Scripts find elements in them; clicks and keys are real ones where the page allows it.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from sweep.analysis.view import SweepView
from sweep.system.directory import SweepDirectory
from tests.commands import PATIENCE
from tests.tensorboard_client import tensorboard

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
pytestmark = [
    pytest.mark.process,
    pytest.mark.xdist_group("hparams browser"),
    pytest.mark.skipif(not (CHROMIUM.exists() and DRIVER.exists()), reason="needs chromium and its driver"),
]
TRIALS, WAITING = 200, 151
"""How many trials there are, and which of them waits."""
SWEEP = """
    import math, pathlib, sys, time
    import sweep

    def train(trial):
        lr, noise = trial.params.lr, trial.repeat / 16 + trial.number / 1024
        if trial.number % 40 == 7:
            raise ValueError("before the first report")
        for step in range(5):
            loss = abs(math.log10(lr) + 3) + (trial.params.optimizer == "sgd") / 2 + noise
            trial.report(loss + 4 - step, step)
            if step == 1 and trial.number % 7 == 3:
                raise sweep.TrialPruned
            if step == 2 and trial.number % 11 == 5:
                raise ValueError("diverged")
            while step == 3 and trial.number == 151 and not pathlib.Path("go").exists():
                time.sleep(0.05)

    space = {
        "lr": {"min": 1e-5, "max": 1e-1, "log": True},
        "optimizer": {"values": ["sgd", "adamw"]},
        "momentum": {"min": 0.0, "max": 0.99, "when": {"optimizer": "sgd"}},
        "flag": {"values": [True, False]},
    }
    options = {"sampler": {"type": "random", "seed": 1}, "repeats": 2, "progress": False}
    sweep.run(train, space=space, n_trials=200, inline=True, name="tab", **options)
"""


class Tab:
    """The HParams tab in a browser.

    Args:
        driver: the browser.
        root: the sweep's directory.
    """

    def __init__(self, driver: Any, root: Path) -> None:
        self._driver = driver
        self._root = root

    def script(self, code: str, *arguments: Any) -> Any:
        """The result of JavaScript, in which `query` and `sessions` are the two halves of the tab."""
        parts = """
            const tab = document.querySelector("tf-hparams-dashboard");
            const main = tab?.shadowRoot.querySelector("tf-hparams-main");
            const part = name => main?.shadowRoot.querySelector("tf-hparams-" + name + "-pane");
            const [query, sessions] = [part("query"), part("sessions")];
            const plot = view => sessions.shadowRoot.querySelector("tf-hparams-" + view + "-view")
                .shadowRoot.querySelector("#plot").shadowRoot;
            const box = name => [...query.shadowRoot.querySelectorAll("paper-checkbox")]
                .find(box => box.textContent.trim() == name);
        """
        return self._driver.execute_script(parts + code, *arguments)

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait until a condition holds; returns its value."""
        from selenium.common.exceptions import JavascriptException, TimeoutException
        from selenium.webdriver.support.ui import WebDriverWait

        wait = WebDriverWait(self._driver, PATIENCE, 0.1, ignored_exceptions=[JavascriptException])
        try:
            return wait.until(lambda _: condition())
        except TimeoutException:
            names = self.names()
            pytest.fail(f"{what}; there are {len(names)} rows: {names[:5]} ... {names[-5:]}")

    def open(self, url: str) -> None:
        """Load the tab again, with all rows on one page."""
        self._driver.get("about:blank")
        self._driver.get(f"{url}/#hparams")
        self.wait(self.names, "no row was shown")
        size = "[...query.shadowRoot.querySelectorAll('paper-input')].find(e => e.label?.startsWith('Max #'))"
        self.wait(lambda: self.script(f"return {size}"), "the tab is not complete")
        self.type(size, "1000")

    def type(self, element: str, text: str) -> None:
        """Type into an input, given as JavaScript."""
        from selenium.webdriver.common.keys import Keys

        field = self.script(f"return {element}.shadowRoot.querySelector('input')")
        self.script("arguments[0].scrollIntoView({block: 'center'})", field)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text + Keys.ENTER)

    def click(self, element: str) -> None:
        """Click on an element, given as JavaScript."""
        found = self.script(f"return {element}")
        self.script("arguments[0].scrollIntoView({block: 'center'})", found)
        found.click()

    def names(self) -> list[str]:
        """The names of the rows, in the order of the table."""
        return list(self.script("return sessions.sessionGroups.map(group => group.name)") or [])

    def wait_for(self, names: list[str]) -> None:
        """Wait until the table has these rows, in this order."""
        self.wait(lambda: self.names() == names, f"expected {len(names)} rows: {names[:5]} ... {names[-5:]}")

    def cells(self) -> list[list[str]]:
        """The text of the rows that are visible."""
        return list(
            self.script("""
                const table = sessions.shadowRoot.querySelector("tf-hparams-table-view").shadowRoot;
                const grid = table.querySelector("#sessionGroupsTable").shadowRoot;
                const rows = grid.querySelectorAll("#items > tr");
                const nodes = cell => cell.querySelector("slot").assignedNodes();
                const text = cell => nodes(cell).map(node => node.textContent.trim());
                return [...rows].filter(row => !row.hidden).sort((a, b) => a.index - b.index)
                    .map(row => [...row.children].slice(0, -1).map(cell => text(cell).join("")));
            """)
        )

    def show(self, view: int) -> None:
        """Show the table (0), the parallel coordinates (1) or the scatter plots (2)."""
        self.click(f"sessions.shadowRoot.querySelectorAll('paper-tab')[{view}]")

    def errors(self) -> list[str]:
        """The errors in the console of the page."""
        return [entry["message"] for entry in self._driver.get_log("browser") if entry["level"] == "SEVERE"]

    def view(self) -> SweepView:
        """The sweep on disk, which the tab must agree with."""
        return SweepView(SweepDirectory(self._root))


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """The folder of a sweep that runs, and its process."""
    folder = tmp_path_factory.mktemp("browser")
    (folder / "run.py").write_text(textwrap.dedent(SWEEP))
    with subprocess.Popen([sys.executable, "run.py"], cwd=folder, stdout=subprocess.DEVNULL) as running:
        yield folder, running
        running.kill()


@pytest.fixture(scope="module")
def url(process: tuple[Path, Any]) -> Iterator[str]:
    """TensorBoard with the sweep while trial 151 is running."""
    with tensorboard(process[0] / "runs" / "tab") as board:
        board.wait_for_rows(WAITING + 1)
        yield board.url


@pytest.fixture(scope="module")
def running(process: tuple[Path, Any], url: str) -> Iterator[Tab]:
    """The tab of the running sweep."""
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1900,1200"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        yield Tab(driver, process[0] / "runs" / "tab")
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def finished(process: tuple[Path, subprocess.Popen[bytes]], url: str, running: Tab) -> Tab:
    """The tab of the sweep after it has finished."""
    from tests.tensorboard_client import TensorBoard, metrics

    folder, script = process
    (folder / "go").touch()
    assert script.wait(PATIENCE) == 0
    board = TensorBoard(url)
    complete = sum(trial.state == TrialState.COMPLETE for trial in running.view().frozen_trials)
    running.wait(
        lambda: sum("spread/objective" in metrics(row) for row in board.rows()) == complete,
        "rows are missing",
    )
    return running


def name(number: int) -> str:
    return f"tab/t{number:04d}"


def values(tab: Tab) -> dict[str, float]:
    """The metric of each row, as the study has it: the last values of the repeats, their mean."""
    rows = {name(row.number): row.metrics.get("objective") for row in tab.view().rows()}
    return {trial: value for trial, value in rows.items() if value is not None}


def test_while_the_sweep_runs_its_trials_are_in_all_views(running: Tab, url: str) -> None:
    running.open(url)
    running.wait_for([name(number) for number in range(WAITING + 1)])
    running.show(1)
    columns = running.script(
        "return [...plot('parallel-coords').querySelectorAll('.axis-title')].map(e => e.textContent)"
    )
    assert columns == [
        *("flag", "lr", "momentum", "optimizer"),
        *("objective", "best/objective", "time/hours", "spread/objective"),
    ]
    # Only trials with a value in each ticked column are drawn.
    running.click("box('spread/objective')")
    running.click("box('momentum')")
    lines = "return plot('parallel-coords').querySelectorAll('.foreground path').length"
    shown = len(values(running))  # a waiting trial has no value in the study
    running.wait(lambda: running.script(lines) == shown + 1, "the running trial has no line")
    running.click("box('Success')")
    running.click("box('Failure')")
    running.wait_for([name(WAITING)])


def test_the_table_agrees_with_the_study(finished: Tab, url: str) -> None:
    finished.open(url)
    finished.wait_for([name(number) for number in range(TRIALS)])
    finished.show(0)
    rows = {name(row.number): row for row in finished.view().rows()}
    cells = finished.wait(finished.cells, "the table is empty")
    assert len(cells) > 10
    for trial, _, flag, lr, momentum, optimizer, objective, best, hours, spread in cells:
        row = rows[trial]
        assert (flag, optimizer) == (str(row.params["flag"]).lower(), row.params["optimizer"])
        numbers = {
            lr: row.params["lr"],
            momentum: row.params.get("momentum"),
            objective: row.metrics.get("objective"),
            best: row.metrics.get("best/objective"),
        }
        for shown, expected in numbers.items():
            assert shown == "" if expected is None else float(shown) == pytest.approx(expected, rel=1e-4)
        assert float(hours) >= 0
        assert (spread != "") == (row.state == "COMPLETE")
    assert {rows[trial].state for trial, *_ in cells} == {"COMPLETE", "PRUNED", "FAIL"}


@pytest.mark.parametrize(("direction", "is_reversed"), [("Ascending", False), ("Descending", True)])
def test_it_sorts_by_the_metric(finished: Tab, url: str, direction: str, is_reversed: bool) -> None:
    finished.open(url)
    menu = "[...query.shadowRoot.querySelectorAll('paper-dropdown-menu')[{}].querySelectorAll('paper-item')]"
    for number, choice in enumerate(("objective", direction)):
        find = menu.format(number) + f".find(item => item.textContent.trim() == '{choice}')"
        finished.script(f"{find}.click()")
    numbers = values(finished)
    ordered = sorted(numbers, key=lambda trial: numbers[trial], reverse=is_reversed)
    finished.wait(
        lambda: [trial for trial in finished.names() if trial in numbers] == ordered,
        "the rows are not sorted",
    )


def test_it_filters_by_a_choice_and_by_a_range(finished: Tab, url: str) -> None:
    finished.open(url)
    params = {name(row.number): row.params for row in finished.view().rows()}
    finished.click("box('adamw')")
    finished.wait_for([trial for trial in params if params[trial]["optimizer"] == "sgd"])
    finished.click("box('adamw')")
    finished.wait_for(list(params))
    ranges = "[...box('lr').parentElement.querySelectorAll('paper-input')]"
    finished.type(f"{ranges}.find(input => input.label == 'Max')", "0.001")
    finished.wait_for([trial for trial in params if params[trial]["lr"] <= 0.001])
    finished.type(f"{ranges}.find(input => input.label == 'Min')", "0.0001")
    finished.wait_for([trial for trial in params if 0.0001 <= params[trial]["lr"] <= 0.001])


def test_a_click_on_a_row_shows_its_curves(finished: Tab, url: str) -> None:
    finished.open(url)
    finished.show(0)
    table = "sessions.shadowRoot.querySelector('tf-hparams-table-view').shadowRoot"
    finished.wait(finished.cells, "the table is empty")
    finished.click(
        f"[...{table}.querySelector('#sessionGroupsTable').shadowRoot.querySelectorAll('#items > tr')]"
        ".find(row => row.index == 0).children[1].querySelector('slot').assignedNodes()[0]"
        ".querySelector('paper-checkbox')"
    )
    cards = f"""
        const details = {table}.querySelector("tf-hparams-session-group-details");
        return Object.fromEntries([...details.shadowRoot.querySelectorAll("tf-scalar-card")].map(card => {{
            const chart = card.shadowRoot.querySelector("tf-line-chart-data-loader").shadowRoot
                .querySelector("vz-line-chart2").shadowRoot;
            const lines = [...chart.querySelectorAll("path")].map(path => path.getAttribute("d") || "");
            return [card.tag, lines.filter(line => line.split("L").length == 5).length];
        }}));
    """
    finished.wait(
        lambda: finished.script(cards).get("objective", 0) >= 2, "no curve with five points for each repeat"
    )


def test_parallel_coordinates_and_scatter_plots_have_all_trials(finished: Tab, url: str) -> None:
    finished.open(url)
    finished.show(1)
    count = "return plot('parallel-coords').querySelectorAll('.foreground path').length"
    rows = finished.view().rows()
    sgd = [row for row in rows if row.state == "COMPLETE" and row.params["optimizer"] == "sgd"]
    finished.wait(lambda: finished.script(count) == len(sgd), "trials with all columns have lines")
    finished.click("box('momentum')")
    finished.click("box('spread/objective')")
    finished.wait(
        lambda: finished.script(count) == len(values(finished)), "all trials with a value have lines"
    )
    finished.show(2)
    markers = "return plot('scatter-plot-matrix').querySelectorAll('circle.data-marker').length"
    # One plot for each pair of a metric (objective, best, time) and a column (three parameters, these three).
    has_value, has_none = len(values(finished)), TRIALS - len(values(finished))
    finished.wait(
        lambda: finished.script(markers) == 18 * has_value + 4 * has_none,
        "all trials have points in all plots",
    )
    assert finished.errors() == []
