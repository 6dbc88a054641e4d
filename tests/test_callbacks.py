"""Callbacks: which events they receive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sweep
from sweep.callbacks import Callbacks
from sweep.engine.observer import Observer
from sweep.messages import Report, ReportEvent
from sweep.system.directory import SweepDirectory


class _SetOnTheObject(sweep.Callback):
    def __init__(self) -> None:
        self.received: list[Any] = []
        self.on_report = self.received.append  # type: ignore[method-assign]


class _OfItsClass(sweep.Callback):
    def __init__(self) -> None:
        self.received: list[Any] = []

    def on_report(self, report: Any) -> None:
        self.received.append(report)


class _OfNoBaseClass:
    def __init__(self) -> None:
        self.received: list[Any] = []

    def on_report(self, report: Any) -> None:
        self.received.append(report)


@pytest.mark.parametrize("kind", [_SetOnTheObject, _OfItsClass, _OfNoBaseClass])
def test_reports_are_sent_to_a_callback_with_its_own_method_wherever_it_is_set(
    kind: type[Any], tmp_path: Path
) -> None:
    callback = kind()
    callbacks = Callbacks([callback], SweepDirectory(tmp_path), Observer())
    assert callbacks.wants_reports
    callbacks.on_reports([ReportEvent(0, 0, 1, Report(1, 0.5))])
    assert [report.value for report in callback.received] == [0.5]


def test_no_reports_are_sent_for_a_callback_that_only_inherits_the_method(tmp_path: Path) -> None:
    callback = sweep.Callback()
    callback.on_trial_end = lambda trial: None  # type: ignore[method-assign]
    assert not Callbacks([callback], SweepDirectory(tmp_path), Observer()).wants_reports
