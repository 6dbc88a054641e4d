"""Finding an objective without running it, and loading it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.errors import InputError
from sweep.objective.function import FunctionReference, find_file


def test_a_file_is_searched_for_here_and_next_to_the_sweep_file(project: Path) -> None:
    (project / "here.py").write_text("def train(trial): return 'here'")
    (project / "spaces").mkdir()
    (project / "spaces" / "there.py").write_text("def train(trial): return 'there'")
    for name in ("here", "there"):
        found = FunctionReference.find(f"{name}.py:train", project / "spaces")
        assert found.load()(None) == name  # type: ignore[arg-type]


def test_finding_it_runs_nothing_and_loading_it_can_import_files_next_to_it(project: Path) -> None:
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


REFUSED = {
    "class Objective:\n    def __call__(self, trial): ...": "Objective is a class; name an instance",
    "class Objective(Base):\n    def __call__(self, trial): ...": "Objective is a class",
    "def Objective(trial, data): ...": r"takes 2 arguments \(trial, data\); it is called with the ",
    "def Objective(trial, a, b, c=1): ...": "takes 3 arguments",
    "def Objective(trial, *, data): ...": r"takes 2 arguments \(trial, data\)",
    "Objective = lambda trial, data: 0": "takes 2 arguments",
    "Objective = 3": "Objective is not a function",
    "async def Objective(trial): return 1.0": "Objective is async, .* calls asyncio.run",
    "def Objective(trial):\n    for x in 1, 2:\n        yield x": "Objective contains yield, .*; return",
    "def Objective(): ...": r"takes no argument; it is called with the trial: write def Objective\(trial\)",
}


@pytest.mark.parametrize("code", REFUSED)
def test_what_cannot_be_called_with_a_trial_is_refused_before_anything_runs(project: Path, code: str) -> None:
    (project / "obj.py").write_text(f"raise SystemExit\n{code}\n")
    with pytest.raises(InputError, match=REFUSED[code]):
        FunctionReference.find("obj.py:Objective", project)


ACCEPTED = [
    "def Objective(trial, data=None, *rest, width=3, **more): ...",
    "def Objective(*anything): ...",
    "@asyncio.run\nasync def Objective(trial): ...",
    "def Objective(trial):\n    def each():\n        yield 1\n    return sum(each())",
    "@given(data=1)\ndef Objective(trial, data): ...",
    "class Objective:\n    def __call__(self, trial): ...\nObjective = Objective()",
    "@functools.cache\nclass Objective: ...",
    "class Objective(float): ...",
    "class Objective(metaclass=Called): ...",
    "class Objective:\n    def __new__(cls, trial): return 1.0",
    "def Objective(trial, data): ...\nObjective = functools.partial(Objective, data=1)",
    "if FAST:\n    def Objective(trial): ...\nelse:\n    def Objective(trial, data): ...",
    "def Objective(trial, data): ...\nfor Objective in (len,): ...",
    "def Objective(trial, data): ...\ndef fill():\n    global Objective\n    Objective = len",
    "def Objective(trial, data): ...\nfrom other import Objective",
    "Objective = make(lambda trial, data: 0)",
]


@pytest.mark.parametrize("code", ACCEPTED)
def test_what_might_be_callable_with_a_trial_is_not_refused(project: Path, code: str) -> None:
    (project / "obj.py").write_text(code)
    FunctionReference.find("obj.py:Objective", project)


def test_a_method_is_found_by_its_dotted_name(project: Path) -> None:
    (project / "obj.py").write_text("class A:\n    @staticmethod\n    def train(trial): ...\n")
    FunctionReference.find("obj.py:A.train", project)


def test_a_file_that_has_only_its_extension_in_common_is_not_suggested(project: Path) -> None:
    (project / "syn.py").touch()
    with pytest.raises(InputError, match=r"there is no file nope.py \(looked in"):
        find_file("program", "nope.py", [project], "*")
    with pytest.raises(InputError, match=r"there is no file syn; did you mean syn.py\?"):
        find_file("program", "syn", [project], "*")


def test_a_name_that_is_imported_or_made_is_found(project: Path) -> None:
    (project / "obj.py").write_text("from json import dumps\nif True:\n    train = dumps\n")
    FunctionReference.find("obj.py:dumps", project)
    FunctionReference.find("obj.py:train", project)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("obj.py", "'obj.py' does not name a function; write file.py:function or package.module:function"),
        ("obj.py:", "does not name a function"),
        ("__main__:train", "'__main__:train' is a function that a script or a notebook passed to sweep.run"),
        ("tune:main.<locals>.train", r"add --set objective=tune\.py:train if a file defines it"),
        ("tune:<lambda>", r"sweep\.run\(train, enqueue=\[params\], n_trials=1, inline=True\)"),
        ("obj.py:2x", "does not name a function"),
        ("obj.py:trian", "obj.py has no 'trian'; did you mean 'train'"),
        ("ojb.py:train", r"there is no file ojb.py; did you mean obj.py\?"),
        ("lib/obj.py:train", "there is no file lib/obj.py"),
        ("no_such_module.x:train", "there is no module 'no_such_module.x'; for a file write"),
        ("broken.py:train", "broken.py:2: "),
        ("empty.py:train", "empty.py has no 'train'; it defines no function"),
        ("inside.py:method", "inside.py has no 'method'; possible: outer"),
        ("inside.py:inner", "inside.py has no 'inner'"),
        ("inside.py:local", "inside.py has no 'local'"),
        ("deep.py:train", "deep.py: is not Python"),
    ],
)
def test_what_does_not_exist_is_an_error_with_a_hint(project: Path, text: str, message: str) -> None:
    (project / "obj.py").write_text("def train(trial): ...")
    (project / "broken.py").write_text("x = 1\ndef train(:\n")
    (project / "empty.py").write_text("")
    (project / "inside.py").write_text(
        "class A:\n    def method(self): ...\ndef outer():\n    local = 1\n    def inner(): ...\n"
    )
    (project / "deep.py").write_text("x = " + "-" * 100_000 + "1")
    with pytest.raises(InputError, match=message):
        FunctionReference.find(text, project)
