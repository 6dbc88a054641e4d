"""Finding an objective without running it, and loading it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.errors import InputError
from sweep.objective.function import FunctionReference


def test_a_file_is_looked_for_here_and_beside_the_sweep_file(project: Path) -> None:
    (project / "here.py").write_text("def train(trial): return 'here'")
    (project / "spaces").mkdir()
    (project / "spaces" / "there.py").write_text("def train(trial): return 'there'")
    for name in ("here", "there"):
        found = FunctionReference.find(f"{name}.py:train", project / "spaces")
        assert found.load()(None) == name  # type: ignore[arg-type]


def test_finding_it_runs_nothing_and_loading_it_finds_its_neighbours(project: Path) -> None:
    (project / "neighbour_of_objective.py").write_text("ANSWER = 42")
    (project / "obj.py").write_text(
        "from pathlib import Path\nPath('ran').touch()\n"
        "from neighbour_of_objective import ANSWER\n"
        "class Task:\n    @staticmethod\n    def train(trial): return ANSWER\n"
    )
    found = FunctionReference.find("obj.py:Task.train", project)
    assert not (project / "ran").exists()
    assert found.load()(None) == 42  # type: ignore[arg-type]
    assert (project / "ran").exists()


def test_a_module_is_found_by_its_dotted_name() -> None:
    assert FunctionReference.find("math:sqrt", Path()).load()(9) == 3  # type: ignore[arg-type]


def test_a_name_that_is_imported_or_made_is_found(project: Path) -> None:
    (project / "obj.py").write_text("from json import dumps\nif True:\n    train = dumps\n")
    FunctionReference.find("obj.py:dumps", project)
    FunctionReference.find("obj.py:train", project)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("obj.py", "'obj.py' names no function; write file.py:function or package.module:function"),
        ("obj.py:", "names no function"),
        ("__main__:train", "'__main__:train' is a function that a script or a notebook gave to sweep.run"),
        ("tune:main.<locals>.train", r"add --set objective=tune\.py:train; from Python"),
        ("tune:<lambda>", r"sweep\.run\(train, enqueue=\[params\], n_trials=1, inline=True\)"),
        ("obj.py:2x", "names no function"),
        ("obj.py:trian", "obj.py has no 'trian'; did you mean 'train'"),
        ("ojb.py:train", r"there is no file ojb.py; did you mean obj.py\?"),
        ("lib/obj.py:train", "there is no file lib/obj.py"),
        ("no_such_module.x:train", "there is no module 'no_such_module.x'; for a file write"),
        ("broken.py:train", "broken.py:2: "),
        ("empty.py:train", "empty.py has no 'train'; it defines no function"),
    ],
)
def test_what_is_not_there_is_an_error_that_helps(project: Path, text: str, message: str) -> None:
    (project / "obj.py").write_text("def train(trial): ...")
    (project / "broken.py").write_text("x = 1\ndef train(:\n")
    (project / "empty.py").write_text("")
    with pytest.raises(InputError, match=message):
        FunctionReference.find(text, project)
