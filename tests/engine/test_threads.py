"""The threads of numeric libraries: what the user has set, otherwise a trial's share of the cores."""

from __future__ import annotations

import os

import psutil
import pytest

from sweep.engine.threads import chosen_threads, set_threads

OMP, MKL, OPENBLAS, NUMEXPR = (f"{name}_NUM_THREADS" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR"))
SHARED = {OMP: "2", MKL: "2", OPENBLAS: "2", NUMEXPR: "2"}


@pytest.mark.parametrize(
    ("shell", "file", "machine", "expected"),
    [
        ({}, {}, {}, SHARED),
        ({OMP: "3"}, {}, {}, {OMP: "3"}),
        ({}, {OMP: "3"}, {}, {OMP: "3"}),
        ({}, {}, {OMP: "3"}, {OMP: "3"}),
        ({OMP: "4"}, {OMP: "3"}, {OMP: "5"}, {OMP: "3"}),
        ({OMP: "4"}, {}, {OMP: "5"}, {OMP: "4"}),
        ({MKL: "3"}, {}, {}, {**SHARED, MKL: "3"}),
        ({OMP: "3"}, {MKL: "1"}, {}, {OMP: "3", MKL: "1"}),
        ({}, {OMP: "${threads}"}, {}, {}),  # a script's own, different in each trial
    ],
)
def test_what_a_person_has_set_wins(
    shell: dict[str, str],
    file: dict[str, str],
    machine: dict[str, str],
    expected: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sweep file first, then the shell of `sweep run`, then the machine on which Ray was started."""
    for name in SHARED:
        monkeypatch.setenv(name, "undone at the end")
        monkeypatch.delenv(name)
    for name, value in shell.items():
        monkeypatch.setenv(name, value)
    chosen = chosen_threads(file)
    monkeypatch.setattr(psutil.Process, "environ", lambda self: machine)
    monkeypatch.setenv(OMP, "1")  # as Ray does
    set_threads(2, chosen)
    assert {name: os.environ[name] for name in SHARED if name in os.environ} == expected
