"""What `sweep check` tells the author of a sweep file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sweep.errors import EntryError
from sweep.preview import preview
from sweep.sweepfile import SweepSpec


@pytest.mark.parametrize(
    ("pruner", "epochs", "first"),
    [
        ({"type": "bands", "min_iter": 9}, 8, 9),
        ({"type": "bands", "min_iter": 9}, 9, None),
        ({"type": "bands", "max_iter": 81, "s": 2}, {"min": 1, "max": 8}, 9),
        ({"type": "asha", "min_resource": 3, "min_early_stopping_rate": 1}, 11, 12),
        ({"type": "asha", "min_resource": "auto"}, 1, None),
        ({"type": "hyperband", "min_resource": 4, "max_resource": 64}, {"values": [1, 2]}, None),
        ({"type": "hyperband", "min_resource": 4, "max_resource": 64}, 3, 4),
        ("median", 1, None),
    ],
)
def test_a_note_says_if_trials_are_too_short_for_the_pruner(
    project: Path, pruner: Any, epochs: Any, first: int | None
) -> None:
    (project / "train.py").write_text("def train(trial): ...\n")
    spec = SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "train.py:train",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {"x": {"min": 0.0, "max": 1.0}, "epochs": epochs},
            "pruner": pruner,
            "stop": {"trials": 3},
        }
    )
    notes = [note for note in preview(spec, project).notes if "first looks at a trial" in note]
    assert len(notes) == (first is not None)
    assert all(f"after {first} reports" in note for note in notes)


@pytest.mark.parametrize(
    ("option", "changes", "argument"),
    [
        ('"--augment", type=bool', {}, "--augment=False"),
        ('"-a", "--augment", default=True, type=bool', {}, "--augment=False"),
        ('"--augment", type=bool', {"parameters": {"augment": False}}, "--augment=False"),
        ('"--augment", type=bool', {"parameters": {"augment": {"values": [0, 1]}}}, "--augment=0"),
        ('"--augment", type=bool', {"parameters": {"augment": True}}, None),
        ('"--augment", type=bool', {"command": ["${interpreter}", "${program}", "${args_argparse}"]}, None),
        ('"--augment", type=bool', {"command": ["${interpreter}", "${program}", "${args_json}"]}, None),
        ('"--augment", type=lambda text: text == "True"', {}, None),
        ('"--other", type=bool', {}, None),
    ],
)
def test_a_note_says_that_argparse_reads_false_as_true(
    project: Path, option: str, changes: dict[str, Any], argument: str | None
) -> None:
    (project / "train.py").write_text(
        f"import argparse\n\nparser = argparse.ArgumentParser()\nparser.add_argument({option})\n"
    )
    spec = SweepSpec.model_validate(
        {
            "name": "demo",
            "program": "train.py",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {"augment": {"values": [True, False]}},
            "stop": {"trials": 1},
            **changes,
        }
    )
    note = (
        f"train.py:4: argparse's type=bool reads {argument} as True: declare it with "
        'action="store_true", and write command: ["${interpreter}", "${program}", "${args_argparse}"]'
    )
    notes = [found for found in preview(spec, project).notes if "type=bool" in found]
    assert notes == ([] if argument is None else [note])


@pytest.mark.parametrize(
    ("file", "statement"),
    [
        ("args.py", "from args import get_parser, parser"),
        ("lib/args.py", "import lib.args"),
        ("lib/args.py", "from lib.args import parser"),
        ("lib/args.py", "from lib import args"),
    ],
)
def test_options_that_a_module_beside_the_script_declares_are_read(
    project: Path, file: str, statement: str
) -> None:
    (project / file).parent.mkdir(exist_ok=True)
    (project / file).write_text(
        'import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument("--aug", type=bool)\n'
    )
    (project / "train.py").write_text(f"{statement}\nimport json, not_there\n")
    spec = SweepSpec.model_validate(
        {
            "name": "demo",
            "program": "train.py",
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {"aug": {"values": [True, False]}},
            "stop": {"trials": 1},
        }
    )
    (note,) = [found for found in preview(spec, project).notes if "type=bool" in found]
    assert note.startswith("args.py:3: argparse's type=bool reads --aug=False as True")


def test_a_note_says_what_a_trial_of_several_workers_requires(project: Path) -> None:
    spec = SweepSpec.model_validate(
        {
            "name": "demo",
            "command": ["torchrun", "--nnodes", "${workers}", "--nproc-per-node", "${gpus}", "train.py"],
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {"x": {"min": 0.0, "max": 1.0}},
            "resources": {"cpu": 4, "gpu": 8, "workers": 2},
            "stop": {"trials": 3},
        }
    )
    shown = preview(spec, project)
    assert shown.command == ["torchrun", "--nnodes", "2", "--nproc-per-node", "8", "train.py"]
    assert "each trial runs in 2 workers with cpu: 4, gpu: 8 each; in all cpu: 8, gpu: 16" in shown.notes


def constrained(sampler: str) -> SweepSpec:
    return SweepSpec.model_validate(
        {
            "name": "demo",
            "command": ["true"],
            "metric": {"name": "loss", "goal": "minimize"},
            "parameters": {"a": {"min": 0, "max": 1000}, "b": {"min": 0, "max": 1000}},
            "constraints": ["a < b"],
            "sampler": sampler,
            "stop": {"trials": 3},
        }
    )


def test_only_a_grid_needs_all_configurations_checked_against_the_constraints(project: Path) -> None:
    shown = preview(constrained("random"), project)
    assert shown.grid == 1001**2
    assert all(params["a"] < params["b"] for params in shown.samples)
    assert any(note.startswith("grid: 1002001 configurations are too many") for note in shown.notes)
    with pytest.raises(EntryError, match="constraints: the grid has 1002001 configurations, too many"):
        preview(constrained("grid"), project)
