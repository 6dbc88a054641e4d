"""The JSON of each command has the shape that docs/json.md says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import sweep
from sweep.cli.app import app
from tests.conftest import REPOSITORY, MakeSweep

PAGE = (REPOSITORY / "docs" / "json.md").read_text()
EXAMPLES = {
    found[1]: json.loads(found[2])
    for found in re.finditer(r"## `(.+?)`\n.*?```json\n(.*?)```", PAGE, re.DOTALL)
}
FREE = {"params", "metrics", "parameters", "samples", "data", "user_attrs"}
"""What has the user's own keys, or those of a kind of statement."""
OPTIONAL = {"retry_of", "values", "feasible", "repeats", "user_attrs", "artifacts", "front"}
"""Keys that are present only if a trial, or a sweep, has them."""

TRAIN = """
    import sweep

    def train(trial):
        trial.set_user_attr("note", "a")
        if trial.number == 1:
            raise ValueError("no")
        for step in range(3):
            trial.report(trial.params.x + step, step)
            if trial.number == 2:
                raise sweep.TrialPruned
        return trial.params.x
"""


def kind(value: Any) -> str:
    """The JSON type of a value."""
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def check(shown: Any, said: Any, place: str = "") -> None:
    """Check that a value has the keys and types of an example."""
    if shown is None or said is None:  # both can be null, or not, where one of them is
        return
    assert kind(shown) == kind(said), f"{place}: {shown!r} is not like {said!r}"
    if place.rpartition(".")[2] in FREE:
        return
    if isinstance(said, Mapping):
        assert shown.keys() - OPTIONAL == said.keys() - OPTIONAL, place
        for key in said.keys() & shown.keys():
            check(shown[key], said[key], f"{place}.{key}")
    elif isinstance(said, list) and said:
        for item in shown:
            check(item, said[0], place)


def test_each_reading_command_is_on_the_page() -> None:
    offers = set()
    for command in app.registered_commands:
        assert command.callback is not None
        if "as_json" in command.callback.__annotations__:
            offers.add(command.callback.__name__)
    assert {line.split()[1] for line in EXAMPLES} == offers


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"repeats": 2},
        {"metrics": [{"name": "loss", "goal": "minimize"}, {"name": "size", "goal": "minimize"}]},
        {"stop": {"trials": 1}},
    ],
    ids=["one goal", "repeats", "several goals", "one trial"],
)
def test_the_output_has_the_shape_of_the_page(
    keys: dict[str, Any], make_sweep: MakeSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    code = TRAIN
    if "metrics" in keys:
        code = code.replace("return trial.params.x", 'return {"loss": trial.params.x, "size": 1.0}')
        keys = {**keys, "metric": None}
    file = make_sweep(code, **keys)
    if "metrics" in keys:
        file.write_text("\n".join(line for line in file.read_text().splitlines() if line != "metric: null"))
    sweep.run(file, inline=True, progress=False)
    for line, example in EXAMPLES.items():
        capsys.readouterr()
        app(line.split()[1:], standalone_mode=False)
        shown = json.loads(capsys.readouterr().out)
        if line == "sweep best demo --json":  # parameters, or the Pareto front
            continue
        check(shown, example, line)


def test_a_format_and_the_option_are_the_same(
    make_sweep: MakeSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.run(make_sweep(TRAIN), inline=True, progress=False)
    for command in ("trials", "best", "export"):
        shown = []
        for option in (["--json"], ["--format", "json"]):
            capsys.readouterr()
            app([command, "demo", *option], standalone_mode=False)
            shown.append(json.loads(capsys.readouterr().out))
        assert shown[0] == shown[1]
    assert Path("runs/demo").is_dir()
