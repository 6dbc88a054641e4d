"""A real TensorBoard, queried over HTTP as its front end does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_STATUSES = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]


class TensorBoard:
    """The HTTP interface of a running TensorBoard.

    Args:
        url: its address.
        shows_partial_runs: whether it shows a run while it is still loading it, as its Python loader does.
    """

    def __init__(self, url: str, shows_partial_runs: bool = False) -> None:
        self.url = url.rstrip("/")
        self._shows_halves = shows_partial_runs

    def experiment(self) -> dict[str, Any]:
        """The declared columns."""
        return self._post("experiment", {"experimentName": ""})

    def rows(self) -> list[dict[str, Any]]:
        """The session groups: one row of the HParams table each."""
        answer = self._post(
            "session_groups",
            {"experimentName": "", "allowedStatuses": _STATUSES, "startIndex": 0, "sliceSize": 10_000},
        )
        return list(answer.get("sessionGroups", []))

    def wait_for_rows(self, count: int, seconds: float = 120.0) -> list[dict[str, Any]]:
        """Wait until there are `count` rows that no longer change: runs are loaded one by one."""
        end = time.monotonic() + seconds
        rows = self.rows()
        unchanged = 0
        while time.monotonic() < end and (len(rows) < count or unchanged < (2 if self._shows_halves else 1)):
            time.sleep(0.3)
            before, rows = rows, self.rows()
            unchanged = unchanged + 1 if rows == before else 0
        return rows

    def scalars(self, run: str, tag: str) -> list[tuple[int, float]]:
        """Steps and values of one curve."""
        return [(step, value) for _, step, value in self._get("scalars/scalars", run=run, tag=tag)]

    def texts(self, run: str, tag: str) -> list[str]:
        """The texts of a tag as HTML, in the order of their steps."""
        return [text["text"] for text in self._get("text/text", run=run, tag=tag)]

    def charts(self) -> dict[str, list[str]]:
        """The charts of the Custom Scalars tab: the regular expressions of their tags by their titles."""
        layout = self._get("custom_scalars/layout")
        charts = [chart for category in layout["category"] for chart in category["chart"]]
        return {chart["title"]: chart["multiline"]["tag"] for chart in charts}

    def tags(self, run: str, pattern: str) -> set[str]:
        """The tags of a run that a chart with this regular expression shows."""
        return set(self._get("custom_scalars/scalars", run=run, tag=pattern)["tag_to_events"])

    def _get(self, path: str, **query: str) -> Any:
        url = f"{self.url}/data/plugin/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=120) as answer:
            return json.load(answer)

    def _post(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.url}/data/plugin/hparams/{what}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return dict(json.load(answer))


@contextmanager
def tensorboard(logdir: Path, fast: bool = True) -> Iterator[TensorBoard]:
    """Start TensorBoard on a log directory, with its data server (fast) or its Python loader."""
    for _ in range(3):
        process, url = _start(logdir, fast)
        if url:
            break
    else:
        raise RuntimeError("TensorBoard exited without printing its address")
    try:
        yield TensorBoard(url, shows_partial_runs=not fast)
    finally:
        process.terminate()
        process.wait(60)


def _start(logdir: Path, fast: bool) -> tuple[subprocess.Popen[str], str]:
    """Start TensorBoard; no address if it exits, because its data server needed more than five seconds."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), "--host", "127.0.0.1"),
            *("--port", "0", "--reload_interval", "1", f"--load_fast={'true' if fast else 'false'}"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(r"http://\S+", line)
        if found and "at http" in line:
            return process, found[0]
    process.wait()
    return process, ""


def hparams(row: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a row."""
    return dict(row.get("hparams", {}))


def metrics(row: dict[str, Any]) -> dict[str, float]:
    """The metrics of a row by their tags."""
    return {value["name"]["tag"]: value["value"] for value in row.get("metricValues", [])}


def logged_metrics(row: dict[str, Any]) -> dict[str, float]:
    """The metrics of a finished row, without the columns that the sweep itself adds at the end."""
    shown = metrics(row)
    assert shown.pop("time/hours") >= 0
    return {tag: value for tag, value in shown.items() if not tag.startswith("spread/")}


def status(row: dict[str, Any]) -> str:
    """The outcome of the row's only session."""
    (session,) = row["sessions"]
    return str(session.get("status", "STATUS_UNKNOWN"))
