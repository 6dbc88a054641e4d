"""The traceback of an objective's mistake is of the user's code only."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import sweep
from sweep.engine.user_traceback import user_frames, user_traceback
from tests.conftest import REPOSITORY, MakeSweep

PACKAGE = str(REPOSITORY / "sweep")


def frames(text: str) -> list[str]:
    """The functions in the tracebacks of a story, in their order; ours by their files."""
    found = re.findall(r'File "(.*?)", line \d+(?:, in (.*))?', text)
    return [Path(file).name if file.startswith(PACKAGE) else name for file, name in found]


def failed(make_sweep: MakeSweep, code: str) -> str:
    """What is in `error.txt` of a trial of this objective."""
    file = make_sweep(code, stop={"trials": 1})
    try:
        result = sweep.run(file, inline=True)
    except sweep.SweepError as error:
        return str(error)
    assert result.trials[0].state == "FAIL"
    return (result.trials[0].directory / "error.txt").read_text()


CASES = {
    "a mistake": (
        "def train(trial):\n    inner()\ndef inner():\n    raise ValueError('bad')\n",
        ["train", "inner"],
        "ValueError: bad",
    ),
    "raised from another one": (
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
    "raised while another one was handled": (
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
    "a value whose conversion fails in our code": (
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
    "code of theirs that ours calls": (
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
    "words returned": ("def train(trial):\n    return 'low'\n", [], "what the objective returned is 'low'"),
    "a module that is not there": (
        "import nowhere_at_all\ndef train(trial):\n    return 1.0\n",
        ["<module>"],
        "ModuleNotFoundError: No module named 'nowhere_at_all'",
    ),
    "a mistake at import": (
        "def setup():\n    1 / 0\nsetup()\ndef train(trial):\n    return 1.0\n",
        ["<module>", "setup"],
        "ZeroDivisionError",
    ),
    "an import of the user's own that has no valid syntax": (
        "import broken_module\ndef train(trial):\n    return 1.0\n",
        ["<module>", ""],
        "SyntaxError",
    ),
    "the same, later": (
        "def train(trial):\n    import broken_module\n",
        ["train", ""],
        "SyntaxError",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_only_the_users_frames_are_shown(name: str, make_sweep: MakeSweep, project: Path) -> None:
    code, functions, message = CASES[name]
    (project / "broken_module.py").write_text("def f(:\n    pass\n")
    text = failed(make_sweep, code)
    assert frames(text) == functions, text
    assert message in text


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with 3.11")
def test_the_members_of_a_group_are_cut_too(make_sweep: MakeSweep) -> None:
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


def test_an_objective_that_is_named_as_a_module_shows_no_frames_of_importlib(
    make_sweep: MakeSweep, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(project)
    (project / "failing_module.py").write_text("1 / 0\ndef train(trial):\n    return 1.0\n")
    file = make_sweep("", objective="failing_module:train")
    with pytest.raises(sweep.SweepError) as raised:
        sweep.run(file, inline=True)
    assert frames(str(raised.value)) == ["<module>"], str(raised.value)


def test_a_users_file_beside_the_package_is_not_taken_for_a_part_of_it() -> None:
    code = compile("def train():\n    raise ValueError\n", f"{PACKAGE}_of_mine.py", "exec")
    names: dict[str, object] = {}
    exec(code, names)
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        names["train"]()  # type: ignore[operator]
    assert f"{PACKAGE}_of_mine.py" in user_traceback(raised.value)


def test_endless_recursion_is_told_shortly(make_sweep: MakeSweep) -> None:
    text = failed(make_sweep, "def train(trial):\n    train(trial)\n")
    assert set(frames(text)) == {"train"}
    assert len(text.splitlines()) < 15
    assert "RecursionError: maximum recursion depth exceeded" in text


def test_a_mistake_of_our_own_keeps_its_frames() -> None:
    with pytest.raises(AttributeError) as raised:
        user_frames(None)  # type: ignore[arg-type]
    error = raised.value
    assert error.__traceback__ is not None
    error.__traceback__ = error.__traceback__.tb_next
    assert frames(user_traceback(error)) == ["user_traceback.py"]
