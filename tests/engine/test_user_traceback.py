"""Tracebacks of failed objectives contain only the user's code."""

from __future__ import annotations

import io
import re
import sys
import traceback
from pathlib import Path

import pytest

import sweep
from sweep.engine.user_traceback import user_frames, user_traceback
from sweep.system.streams import guarded_streams
from tests.conftest import REPOSITORY, MakeSweep

PACKAGE = str(REPOSITORY / "sweep")


def frames(text: str) -> list[str]:
    """The functions in formatted tracebacks, in order; for code of this package the file names."""
    found = re.findall(r'File "(.*?)", line \d+(?:, in (.*))?', text)
    return [Path(file).name if file.startswith(PACKAGE) else name for file, name in found]


def failed(make_sweep: MakeSweep, code: str) -> str:
    """The content of `error.txt` for a trial of this objective."""
    file = make_sweep(code, stop={"trials": 1})
    try:
        result = sweep.run(file, inline=True)
    except sweep.SweepError as error:
        return str(error)
    assert result.trials[0].state == "FAIL"
    return (result.trials[0].directory / "error.txt").read_text()


CASES = {
    "an exception": (
        "def train(trial):\n    inner()\ndef inner():\n    raise ValueError('bad')\n",
        ["train", "inner"],
        "ValueError: bad",
    ),
    "an exception with a cause": (
        """
        def train(trial):
            try:
                inner()
            except KeyError as error:
                raise ValueError("outer") from error
        def inner():
            raise KeyError("inner")
        """,
        ["train", "inner", "train"],
        "KeyError: 'inner'\n\nThe above exception was the direct cause of the following exception:",
    ),
    "an exception with a context": (
        """
        def train(trial):
            try:
                1 / 0
            except ZeroDivisionError:
                {}["lost"]
        """,
        ["train", "train"],
        "During handling of the above exception, another exception occurred:",
    ),
    "a value whose conversion fails in this package": (
        """
        class Lazy:
            def __float__(self):
                raise TypeError("not computed")
        def train(trial):
            trial.report(Lazy(), 0)
        """,
        ["__float__", "train"],
        "TypeError: not computed",
    ),
    "user code that this package calls": (
        """
        def train(trial):
            with trial.checkpoint.save(0):
                inner()
        def inner():
            raise ValueError("in the block")
        """,
        ["train", "inner"],
        "ValueError: in the block",
    ),
    "nothing returned": ("def train(trial):\n    pass\n", [], "the objective returned nothing"),
    "a string returned": (
        "def train(trial):\n    return 'low'\n",
        [],
        "what the objective returned is 'low'",
    ),
    "a missing module": (
        "import nowhere_at_all\ndef train(trial):\n    return 1.0\n",
        ["<module>"],
        "ModuleNotFoundError: No module named 'nowhere_at_all'",
    ),
    "an exception at import": (
        "def setup():\n    1 / 0\nsetup()\ndef train(trial):\n    return 1.0\n",
        ["<module>", "setup"],
        "ZeroDivisionError",
    ),
    "a syntax error in an imported module": (
        "import broken_module\ndef train(trial):\n    return 1.0\n",
        ["<module>", ""],
        "SyntaxError",
    ),
    "a syntax error in a module imported later": (
        "def train(trial):\n    import broken_module\n",
        ["train", ""],
        "SyntaxError",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_only_frames_of_user_code_are_shown(name: str, make_sweep: MakeSweep, project: Path) -> None:
    code, functions, message = CASES[name]
    (project / "broken_module.py").write_text("def f(:\n    pass\n")
    text = failed(make_sweep, code)
    assert frames(text) == functions, text
    assert message in text


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with 3.11")
def test_members_of_an_exception_group_show_only_user_code_too(make_sweep: MakeSweep) -> None:
    text = failed(
        make_sweep,
        """
        class Lazy:
            def __float__(self):
                raise TypeError("not computed")
        def train(trial):
            errors = []
            for value in (Lazy(), Lazy()):
                try:
                    trial.report(value, 0)
                except ValueError as error:
                    errors.append(error)
            raise ExceptionGroup("both", errors)
        """,
    )
    assert frames(text)[0] == "train"
    assert text.count("__float__") == 2
    assert "ExceptionGroup: both (2 sub-exceptions)" in text


def test_an_objective_given_as_a_module_shows_no_frames_of_importlib(
    make_sweep: MakeSweep, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(project)
    (project / "failing_module.py").write_text("1 / 0\ndef train(trial):\n    return 1.0\n")
    file = make_sweep("", objective="failing_module:train")
    with pytest.raises(sweep.SweepError) as raised:
        sweep.run(file, inline=True)
    assert frames(str(raised.value)) == ["<module>"], str(raised.value)


def test_a_user_file_next_to_the_package_is_user_code() -> None:
    code = compile("def train():\n    raise ValueError\n", f"{PACKAGE}_of_mine.py", "exec")
    names: dict[str, object] = {}
    exec(code, names)
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        names["train"]()  # type: ignore[operator]
    assert f"{PACKAGE}_of_mine.py" in user_traceback(raised.value)


def test_the_traceback_of_infinite_recursion_is_short(make_sweep: MakeSweep) -> None:
    text = failed(make_sweep, "def train(trial):\n    train(trial)\n")
    assert set(frames(text)) == {"train"}
    assert len(text.splitlines()) < 15
    assert "RecursionError: maximum recursion depth exceeded" in text


def test_ctrl_c_while_the_objective_prints_shows_only_user_code(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(io.StringIO):
        def write(self, _: str) -> int:
            raise KeyboardInterrupt

    def train() -> None:
        print("loss")

    monkeypatch.setattr("sys.stdout", Interrupted())
    with guarded_streams(), pytest.raises(KeyboardInterrupt) as raised:
        train()
    assert "in write" in "".join(traceback.format_exception(raised.value))
    shown = frames(user_traceback(raised.value))
    assert "train" in shown
    assert shown[-1] == "write"
    assert f'"{PACKAGE}/' not in user_traceback(raised.value)


def test_a_bug_in_this_package_keeps_its_frames() -> None:
    with pytest.raises(AttributeError) as raised:
        user_frames(None)  # type: ignore[arg-type]
    error = raised.value
    assert error.__traceback__ is not None
    error.__traceback__ = error.__traceback__.tb_next
    assert frames(user_traceback(error)) == ["user_traceback.py"]
