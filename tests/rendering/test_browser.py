"""The report in Chromium, without a network: its views are linked, and texts of a sweep are not executed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from sweep.analysis.view import SweepView
from sweep.rendering.html import write_report
from tests.odd_sweeps import FINISHED, HOSTILE, make_finished
from tests.rendering.synthetic import make_large

pytestmark = [pytest.mark.process, pytest.mark.xdist_group("chromium")]


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1300,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
    driver.set_network_conditions(offline=True, latency=0, throughput=0)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweeps")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_finished(folder)
    make_large(folder / "runs", "sixty", 60)
    return folder / "runs"


class Page:
    """A report that is open in a browser."""

    def __init__(self, browser: webdriver.Chrome, runs: Path, *names: str) -> None:
        self.browser = browser
        self.views = [SweepView.open(name, runs) for name in names]
        path = runs / "report.html"
        write_report(self.views, path)
        for log in ("browser", "performance"):
            browser.get_log(log)
        browser.get(path.as_uri())

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def script(self, code: str, *arguments: Any) -> Any:
        return self.browser.execute_script(code, *arguments)

    def wait(self, code: str) -> Any:
        """Wait until an expression is true; returns its value."""
        return WebDriverWait(self.browser, 60).until(lambda _: self.script(f"return {code}"))

    def show(self, selector: str) -> WebElement:
        element = self.one(selector)
        self.script("arguments[0].scrollIntoView({block: 'center'})", element)
        return element

    def plot(self, selector: str) -> None:
        """Scroll to a plot, and wait until it is drawn."""
        self.show(selector)
        self.wait(f"document.querySelector({selector!r} + ' .canvas').data !== undefined")

    def cells(self, column: int) -> list[str]:
        return [cell.text for cell in self.all(f"[data-table] tbody tr > :nth-child({column})")]

    def marked_rows(self) -> set[int]:
        return set(
            self.script(
                "return [...document.querySelectorAll('tr.marked')].map((row) => Number(row.dataset.trial))"
            )
        )

    def marked_points(self, selector: str) -> set[int]:
        """The trials that a plot shows as marked."""
        return set(
            self.script(
                "const {data} = document.querySelector(arguments[0] + ' .canvas');"
                "const {text} = data.find((trace) => trace.name === 'marked');"
                "return text.filter((trial) => trial !== null).map(Number)",
                selector,
            )
        )

    def brush(self, axis: int, start: float, end: float) -> None:
        """Drag along an axis of the parallel coordinates; 0 is its lower end, 1 the upper."""
        canvas = self.show("[data-parallel] canvas")
        self.script("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        size, axes = canvas.size, 6
        x = 70 + (size["width"] - 140) * axis / (axes - 1) - size["width"] / 2
        low, high = (size["height"] / 2 - 54 - place * (size["height"] - 98) for place in (start, end))
        actions = ActionChains(self.browser, duration=50).move_to_element_with_offset(
            canvas, int(x), int(low)
        )
        actions.click_and_hold().move_by_offset(0, int(high - low) // 2)
        actions.move_to_element_with_offset(canvas, int(x), int(high)).release().perform()

    def problems(self) -> list[str]:
        """What the console says, and requests for anything but the report."""
        said = [entry["message"] for entry in self.browser.get_log("browser")]
        events = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        urls = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return said + [url for url in urls if not url.startswith(("file:", "data:", "blob:"))]


def test_a_brush_on_an_axis_marks_rows_curves_and_points(browser: webdriver.Chrome, runs: Path) -> None:
    page = Page(browser, runs, "sixty")
    page.plot("[data-chart=curves]")
    page.brush(0, -0.02, 0.5)
    lrs = {trial.number: trial.params["lr"] for trial in page.views[0].frozen_trials}
    low, high = min(lrs.values()), max(lrs.values())
    half = {number for number, lr in lrs.items() if lr <= (low * high) ** 0.5}
    only_marked = page.show("[data-only-marked]")
    only_marked.click()
    marked = page.marked_rows()
    assert 10 < len(marked) < 50
    assert len(marked ^ half) <= 2  # a pixel more or less
    assert page.marked_points("[data-chart=curves]") == marked
    page.plot("[data-slices] .plot:not(.wide)")
    complete = {trial.number for trial in page.views[0].frozen_trials if trial.state.name == "COMPLETE"}
    assert page.marked_points("[data-slices] .plot:not(.wide)") == marked & complete
    assert f"{len(marked)} marked" in page.one("[data-status]").text
    page.brush(5, 0.3, 0.6)  # both brushes together
    assert page.marked_rows() < marked
    page.one("[data-clear-marks]").click()
    assert page.marked_rows() == set()
    assert page.problems() == []


def test_a_row_and_a_box_over_curves_mark_trials_in_all_views(browser: webdriver.Chrome, runs: Path) -> None:
    page = Page(browser, runs, "sixty")
    page.plot("[data-chart=curves]")
    box = page.show("[data-table] tbody tr:nth-child(3) input")
    number = int(page.one("[data-table] tbody tr:nth-child(3)").get_attribute("data-trial") or "")
    box.send_keys(Keys.SPACE)
    page.wait("document.querySelectorAll('tr.marked').length === 1")
    assert page.marked_rows() == page.marked_points("[data-chart=curves]") == {number}
    page.one("[data-clear-marks]").click()
    plot = page.show("[data-chart=curves] .nsewdrag")
    width, height = plot.size["width"], plot.size["height"]
    actions = ActionChains(browser, duration=100)
    actions.move_to_element_with_offset(plot, int(width * 0.34), -height // 2 + 5).click_and_hold()
    actions.move_by_offset(int(width * 0.05), height // 2).move_by_offset(int(width * 0.05), height // 2 - 10)
    actions.release().perform()
    page.wait("document.querySelectorAll('tr.marked').length > 0")
    reached = {trial.number for trial in page.views[0].frozen_trials if len(trial.intermediate_values) == 10}
    page.show("[data-only-marked]").click()
    assert page.marked_points("[data-chart=curves]") == page.marked_rows() == reached
    assert page.problems() == []


def test_the_table_sorts_and_filters(browser: webdriver.Chrome, runs: Path) -> None:
    page = Page(browser, runs, "sixty")
    best = page.views[0].best
    assert best is not None
    assert page.cells(1)[0].split() == [str(best.number), "best"]
    head = page.show("[data-table] thead tr:first-child th:nth-child(4) button")
    assert head.text == "lr"
    head.click()
    shown = [float(text) for text in page.cells(4)]
    assert shown == sorted(shown)
    page.one("[data-table] thead tr:first-child th:nth-child(4) button").click()
    assert page.one("th[aria-sort]").get_attribute("aria-sort") == "descending"
    assert float(page.cells(4)[0]) >= shown[-1]
    page.one("input[aria-label='Filter lr']").send_keys("1e-4..0.01")
    page.one("input[aria-label='Filter optimizer']").send_keys("adamw, lion")
    expected = {
        trial.number
        for trial in page.views[0].frozen_trials
        if 1e-4 <= trial.params["lr"] <= 0.01 and trial.params["optimizer"] != "sgd"
    }
    assert {int(text.split()[0]) for text in page.cells(1)} == expected
    assert f"{len(expected)} of 60 trials shown" in page.one("[data-status]").text
    page.one("[data-clear-filters]").click()
    page.one("[data-regex]").click()
    page.one("[data-search]").send_keys(r"memory at width \d{3}$")
    assert set(page.cells(2)) == {"fail"}
    page.one("[data-search]").send_keys("(")
    assert page.one("[data-search]").get_attribute("aria-invalid") == "true"
    assert page.problems() == []


def test_the_theme_follows_the_system_and_the_button(browser: webdriver.Chrome, runs: Path) -> None:
    page = Page(browser, runs, "sixty")
    page.plot("[data-chart=curves]")
    color = "getComputedStyle(document.body).backgroundColor"
    light = page.script(f"return {color}")
    page.one("#theme").click()
    assert page.script(f"return {color}") != light
    page.one("#theme").click()
    assert page.script(f"return {color}") == light
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    try:
        page = Page(browser, runs, "sixty")
        assert page.script(f"return {color}") != light
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert page.problems() == []


def test_every_odd_sweep_is_shown_and_nothing_in_it_is_executed(
    browser: webdriver.Chrome, runs: Path
) -> None:
    page = Page(browser, runs, *FINISHED)
    for tab in page.all("[role=tab]"):
        tab.click()
        page.script(
            "const plots = document.querySelectorAll('article:not([hidden]) .plot');"
            "for (const plot of plots) plot.scrollIntoView()"
        )
        page.script("return new Promise((done) => setTimeout(done, 100))")
        assert page.one("article:not([hidden]) h3").text
    page.one(f"#tab-{FINISHED.index('hostile')}").click()
    assert HOSTILE.splitlines()[0].replace("\x1b", "") in page.one(
        "article:not([hidden]) .failures"
    ).text.replace("\x1b", "")
    assert page.all("article script:not([type='application/json'])") == []
    assert page.all("article i, .name b") == []
    assert page.problems() == []


def test_sweeps_are_compared_side_by_side(browser: webdriver.Chrome, runs: Path) -> None:
    page = Page(browser, runs, "usual", "sixty")
    page.plot("[data-comparison]")
    names = page.script(
        "return document.querySelector('[data-comparison] .canvas').data.map((trace) => trace.name)"
    )
    assert names == ["usual", "sixty"]
    page.one("#tab-0").send_keys(Keys.ARROW_RIGHT)
    assert page.one("article:not([hidden]) .name").text.startswith("sixty")
    assert page.problems() == []


def test_ten_thousand_trials_open_and_can_be_brushed(browser: webdriver.Chrome, tmp_path: Path) -> None:
    make_large(tmp_path, "large", 10_000)
    page = Page(browser, tmp_path, "large")
    assert (tmp_path / "report.html").stat().st_size < 5_000_000
    assert page.one("[data-pages]").text == "1 to 50 of 10000"
    assert page.script("return performance.getEntriesByType('navigation')[0].loadEventEnd") < 30_000
    page.brush(0, 0.5, 1.05)
    assert " marked" in page.one("[data-status]").text
    assert "none marked" not in page.one("[data-status]").text
    assert page.problems() == []
