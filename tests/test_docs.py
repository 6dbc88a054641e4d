"""The documentation: its examples are correct, and the sweep file's page is complete."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
from optuna import samplers
from pydantic import BaseModel

import sweep
from sweep.errors import InputError
from sweep.preview import Preview, preview
from sweep.sweepfile import SweepSpec, command, parse_sweep_file
from sweep.sweepfile.base import file_keys
from sweep.sweepfile.load import SweepFile
from sweep.sweepfile.model import CAUSES
from sweep.sweepfile.parameters import DISTRIBUTIONS
from sweep.sweepfile.pruners import PRUNERS
from sweep.sweepfile.repeats import REDUCTIONS
from sweep.sweepfile.samplers import CROSSOVERS, MUTATIONS, SAMPLERS
from sweep.sweepfile.wandb import reading as wandb
from sweep.sweepfile.yaml import read_document
from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "sweep-file.md"
WANDB_PAGE = REPOSITORY / "docs" / "wandb.md"
PAGES = [PAGE, WANDB_PAGE, REPOSITORY / "docs" / "scripts.md", REPOSITORY / "README.md"]
ALL_PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
WRONG = "# wrong:"
SAME = "# the same"

ADDED = {
    "objective": "objective: train.py:train",
    "metric": "metric: {name: loss, goal: minimize}",
    "parameters": "parameters: {x: {min: 0.0, max: 1.0}}",
}
"""Keys that an example can leave out, and the line that is added then."""
INSTEAD = {"objective": ("program", "command"), "metric": ("metrics",)}
OWN_CLASSES = """
    from optuna.pruners import NopPruner
    from optuna.samplers import RandomSampler


    class Annealing(RandomSampler):
        def __init__(self, temperature, seed):
            super().__init__(seed)


    class Impatient(NopPruner):
        def __init__(self, after):
            super().__init__()
"""


@dataclass(frozen=True)
class Example:
    """A fenced block of YAML.

    Args:
        page: the page that contains it.
        line: the number of the line on which its fence opens.
        text: its content.
    """

    page: Path
    line: int
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"

    @property
    def file(self) -> str:
        """A complete sweep file. Lines are added at the end, so that line numbers stay the same."""
        data = read_document(self.text).data
        missing = [
            line
            for key, line in ADDED.items()
            if not wandb.is_wandb(data) and not {key, *INSTEAD.get(key, ())} & data.keys()
        ]
        return "\n".join([self.text, *missing, ""])

    def read(self) -> SweepFile:
        return parse_sweep_file(self.file, Path("example.yaml"))

    def check(self) -> Preview:
        """As `sweep check` does."""
        sweep_file = self.read()
        with sweep_file.locating():
            return preview(sweep_file.spec, near=REPOSITORY)


def _examples(page: Path) -> list[Example]:
    lines = page.read_text().splitlines()
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip() == "```yaml":
            end = lines.index("```", number)
            found.append(Example(page, number, "\n".join(lines[number:end])))
    return found


EXAMPLES = [example for page in PAGES for example in _examples(page)]


def _named(examples: list[Example]) -> Any:
    return pytest.mark.parametrize("example", examples, ids=lambda example: example.name)


@pytest.fixture
def stand_ins(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that the examples name."""
    for folder in (project, project / "experiments"):
        folder.mkdir(exist_ok=True)
        (folder / "train.py").write_text("def train(trial):\n    return 0.0\n")
    (project / "mine.py").write_text(textwrap.dedent(OWN_CLASSES))
    monkeypatch.syspath_prepend(project)


@pytest.mark.usefixtures("stand_ins")
@_named([example for example in EXAMPLES if not example.text.startswith(WRONG)])
def test_an_example_can_be_run(example: Example) -> None:
    try:
        seen = example.check()
    except InputError as error:
        pytest.fail(f"{example.name}: {error}")
    assert seen.samples or example.read().spec.is_define_by_run, example.name


@pytest.mark.usefixtures("stand_ins")
@_named([example for example in EXAMPLES if example.text.startswith(WRONG)])
def test_a_wrong_example_is_refused_with_the_one_error_on_the_page(example: Example) -> None:
    said = example.text.splitlines()[0].removeprefix(WRONG).strip()
    with pytest.raises(InputError) as raised:
        example.check()
    message = str(raised.value)
    assert said in message, example.name
    assert "\n" not in message, f"{example.name}: more than one error"


def test_a_wandb_file_and_its_translation_on_the_page_are_the_same_sweep() -> None:
    pairs = [(before, example) for before, example in pairwise(EXAMPLES) if example.text.startswith(SAME)]
    assert pairs
    for theirs, ours in pairs:
        assert theirs.read().is_wandb
        assert theirs.read().spec == ours.read().spec, ours.name
        assert theirs.read().spec.to_yaml() == ours.read().spec.to_yaml(), ours.name


def test_the_page_has_examples_of_every_kind() -> None:
    texts = [example.text for example in EXAMPLES if example.page == PAGE]
    assert len(texts) >= 20
    assert any(text.startswith(WRONG) for text in texts)
    assert all(text.count("\n") for text in texts if wandb.is_wandb(read_document(text).data))


# The page is complete.


@cache
def _code_spans(page: Path = PAGE) -> frozenset[str]:
    """The content of all inline code of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return frozenset(re.findall(r"`([^`\n]+)`", text))


def _models(annotation: Any, known: set[type[BaseModel]]) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation in known:
            return
        known.add(annotation)
        yield annotation
        for field in annotation.model_fields.values():
            yield from _models(field.annotation, known)
    for argument in get_args(annotation):
        yield from _models(argument, known)


MODELS = list(_models(SweepSpec, set()))


def test_all_parts_of_the_sweep_file_are_reached() -> None:
    names = {model.__name__ for model in MODELS}
    assert {"ListedMetric", "Resources", "Stop", "TrialRules", "Repeats", "Group", "Distribution"} <= names
    assert {*SAMPLERS.values(), *PRUNERS.values()} <= set(MODELS)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_is_on_the_page(model: type[BaseModel]) -> None:
    assert [key for key in file_keys(model) if key not in _code_spans()] == []


def _row(type_: str, column: str) -> str:
    """The row for a type, in the table that starts with the given header."""
    text = PAGE.read_text()
    tables = [
        block for block in text.split("\n\n") if block.startswith(column) and f"\n| `{type_}` |" in block
    ]
    assert len(tables) == 1, f"no row, or several, for {type_}"
    return next(line for line in tables[0].splitlines() if line.startswith(f"| `{type_}` |"))


@pytest.mark.parametrize(
    ("type_", "model", "column"),
    [
        *((type_, model, "| `type` | what it does |") for type_, model in SAMPLERS.items()),
        *((type_, model, "| `type` | stops a trial |") for type_, model in PRUNERS.items()),
    ],
)
def test_every_option_of_a_sampler_or_pruner_is_in_its_row(
    type_: str, model: type[BaseModel], column: str
) -> None:
    row = _row(type_, column)
    options = set(file_keys(model)) - {"type", "seed", "metric", "steps"}
    assert {option for option in options if f"`{option}`" not in row} == set()


_DEFAULT = re.compile(r"`(\w+)` \(([\w.]+)\)")


@pytest.mark.parametrize(("type_", "model"), PRUNERS.items())
def test_the_defaults_of_a_pruner_are_those_on_the_page(type_: str, model: type[BaseModel]) -> None:
    row = _row(type_, "| `type` | stops a trial |")
    for key, said in _DEFAULT.findall(row):
        assert read_document(said).data == model.model_fields[key].default, key


@pytest.mark.parametrize(
    ("type_", "class_"),
    {
        "tpe": samplers.TPESampler,
        "gp": samplers.GPSampler,
        "cmaes": samplers.CmaEsSampler,
        "nsga2": samplers.NSGAIISampler,
        "nsga3": samplers.NSGAIIISampler,
        "qmc": samplers.QMCSampler,
    }.items(),
)
def test_the_defaults_of_a_sampler_on_the_page_are_those_of_optuna(
    type_: str, class_: type[samplers.BaseSampler]
) -> None:
    row = _row(type_, "| `type` | what it does |")
    known = inspect.signature(class_).parameters
    for key, said in _DEFAULT.findall(row):
        option = known[key] if key in known else known[f"n_{key}"]
        assert read_document(said).data == option.default, key


@pytest.mark.parametrize(("name", "keys"), DISTRIBUTIONS.items())
def test_every_distribution_is_in_its_table_with_its_keys(name: str, keys: tuple[str, ...]) -> None:
    row = _row(name, "| `distribution` | keys |")
    assert [key for key in keys if f"`{key}`" not in row.split("|")[2]] == []


def test_every_value_of_an_enumeration_is_on_the_page() -> None:
    values = [*CAUSES, *REDUCTIONS, *CROSSOVERS, *MUTATIONS]
    assert [value for value in values if value not in _code_spans()] == []
    assert [value for value in wandb.METHODS if value not in _code_spans(WANDB_PAGE)] == []


def test_every_macro_is_on_the_page() -> None:
    macros = [*command.LIST_MACROS, *command.TEXT_MACROS, *command.TRIAL_MACROS]
    assert [macro for macro in macros if f"${{{macro}}}" not in _code_spans()] == []


@pytest.mark.parametrize("macro", ["args", "args_no_hyphens", "args_no_boolean_flags", "args_no_equals"])
def test_a_macro_expands_to_what_its_row_shows(macro: str) -> None:
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| `${{{macro}}}` |"))
    facts = command.CommandContext("python", None, "args.json", {}, "trial", 0, 0, "")
    made = command.Command((f"${{{macro}}}",)).arguments({"a": True, "b": False, "c": 1}, facts)
    assert re.findall(r"`([^`]+)`", row.split("|")[2]) == made


@pytest.mark.parametrize(
    "macro", ["args_argparse", "args_tyro", "args_click", "args_hf", "args_jsonargparse"]
)
def test_a_macro_for_a_library_expands_to_what_its_row_shows(macro: str) -> None:
    lines = PAGE.read_text().splitlines()
    row = next(line for line in lines if line.startswith(f"| `${{{macro}}}` |") and line.count("|") == 7)
    facts = command.CommandContext("python", None, "args.json", {}, "trial", 0, 0, "")
    params: dict[str, Any] = {"a": True, "b": False, "d": None, "e": [1, "x"]}
    for cell, (name, value) in zip(row.split("|")[3:-1], params.items(), strict=True):
        shown = [text for span in re.findall(r"`([^`]+)`", cell) for text in span.split(" ")]
        made = command.Command((f"${{{macro}}}",)).arguments({name: value}, facts)
        assert " ".join(shown) == " ".join(made)


def test_links_between_the_pages_have_targets() -> None:
    for page in ALL_PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if "://" in target:
                continue
            path, _, anchor = target.partition("#")
            file = page.parent / path if path else page
            assert file.is_file(), f"{page.name}: {target}"
            if anchor:
                titles = re.findall(r"^#+ (.*)$", file.read_text(), flags=re.MULTILINE)
                assert anchor in map(_anchor, titles), f"{page.name}: {target}"


def _anchor(title: str) -> str:
    """The anchor of a heading, as GitHub generates it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


_AVOIDED = re.compile(r"\b(words?|heed|whoever|whereof|unless given|beside|goes on)\b", re.IGNORECASE)


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.name)
def test_a_page_uses_the_terms_of_the_field(page: Path) -> None:
    """For example "strings" rather than "words", "default" rather than "unless given"."""
    assert _AVOIDED.findall(page.read_text()) == []


def test_the_api_reference_has_every_public_name() -> None:
    documented = re.findall(r":: sweep\.(\w+)", (REPOSITORY / "docs" / "api.rst").read_text())
    assert {name for name in sweep.__all__ if not name.startswith("_")} <= set(documented)
