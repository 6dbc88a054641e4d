"""`sweep best`: the best parameters of a sweep, or an artifact of the best trial."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from sweep.cli.options import Json, Runs, SweepName, print_json
from sweep.errors import InputError, SweepError
from sweep.system.directory import RUNS
from sweep.system.paths import expand_home

if TYPE_CHECKING:
    from sweep.analysis.view import SweepView
    from sweep.sweepfile import SweepSpec


class BestFormat(str, Enum):
    """The output formats of `sweep best`."""

    yaml = "yaml"
    json = "json"
    args = "args"


_Format = Annotated[BestFormat | None, Option("--format", help="The output format, by default YAML.")]
_Artifact = Annotated[str | None, Option(metavar="ARTIFACT", help="Copy this artifact of the trial instead.")]
_Output = Annotated[
    str | None,
    Option("--output", "-o", metavar="PATH", parser=expand_home, help="The path of the copy, or its folder."),
]
_Repeat = Annotated[str | None, Option(metavar="N", help="The repeat that saved the artifact, 0 or seed-42.")]
_Force = Annotated[bool, Option("--force", help="Replace an existing file with the artifact.")]


def best(
    name: SweepName,
    runs: Runs = RUNS,
    form: _Format = None,
    as_json: Json = False,
    artifact: _Artifact = None,
    output: _Output = None,
    repeat: _Repeat = None,
    force: _Force = False,
) -> None:
    """Print the parameters of the best trial. As arguments they are quoted for the shell.

    With several goals and more than one best trial, all trials of the Pareto front are printed, with their
    numbers and values.

    If there is no best trial, a comment in the YAML says so. For a script, with --format, --json or
    --artifact, that is an error: nothing is printed, and the exit status is 1.

    With --artifact a file or folder that the best trial saved with trial.save_artifact is copied instead, to
    the current folder or --output. With repeats, it is copied from the best repeat, or from --repeat.

    \b
    Examples:
      sweep best digits-cnn > best.yaml
      args=$(sweep best digits-cnn --format args) && eval "python train.py $args"
      sweep best digits-cnn --artifact model.pt
      sweep best digits-cnn --artifact model.pt -o models/digits.pt --force
    """
    from sweep.analysis.formatting import printable
    from sweep.analysis.resuming import name_for_commands
    from sweep.analysis.view import SweepView

    for option, value in (("--output", output), ("--repeat", repeat), ("--force", force or None)):
        if artifact is None and value is not None:
            raise InputError(f"{option}: is for --artifact; add for example --artifact model.pt")
    view = SweepView.open(name, runs)
    if view.best is None:
        why = f"{view.spec.name}: {view.why_no_best}; see: sweep status {name_for_commands(view.directory)}"
        if artifact is not None or form is not None or as_json:
            raise SweepError(why)
        print(f"# {printable(why)}")
    elif artifact is None:
        _print_params(view, BestFormat.json if as_json else form or BestFormat.yaml)
    else:
        _copy_artifact(view, artifact, output or ".", repeat, force)


def _print_params(view: SweepView, form: BestFormat) -> None:
    from sweep.analysis.status import front_records
    from sweep.sweepfile.yaml import write_yaml

    is_front = len(view.front) > 1
    params: Any = front_records(view) if is_front else view.params(view.front[0])
    if form is BestFormat.json:
        print_json(params)
    elif form is BestFormat.yaml:
        print(write_yaml(params), end="")
    elif is_front:
        numbers = ", ".join(str(trial.number) for trial in view.front)
        raise InputError(
            f"{view.spec.name}: has several best trials (the Pareto front): {numbers}; use --format json"
        )
    else:
        _print_arguments(shlex.join(_arguments(view.spec, params)))


def _print_arguments(line: str) -> None:
    from sweep.analysis.formatting import escaped
    from sweep.system.streams import can_encode

    if sys.stdout.isatty() and escaped(line) != line:
        raise SweepError("the arguments contain control characters; redirect them, or use --format json")
    if not can_encode(line):  # a shell does not decode escapes
        raise SweepError(f"stdout cannot represent {line}; set PYTHONIOENCODING=utf-8, or use --format json")
    print(line)


def _arguments(spec: SweepSpec, params: Mapping[str, Any]) -> list[str]:
    """Parameters as command-line arguments of the sweep's script; `--key=value` for a function, and for a
    script that does not receive them on its command line.
    """
    from sweep.script.reference import ScriptReference
    from sweep.sweepfile.command import CommandError

    arguments: list[str] = []
    if spec.objective is None:
        with suppress(CommandError):
            arguments = ScriptReference.of(spec).as_arguments(params)
    return arguments or [f"--{key}={value}" for key, value in params.items()]


def _copy_artifact(view: SweepView, name: str, output: str, repeat: str | None, force: bool) -> None:
    from sweep.analysis import formatting as text
    from sweep.analysis.artifacts import best_repeat, export_artifact, find_artifact
    from sweep.controller.runs import find_repeat, repeat_values

    if len(view.front) > 1:
        folders = "\n  ".join(str(view.directory.trial(best.number).root) for best in view.front)
        raise InputError(
            f"{view.spec.name}: has several best trials (the Pareto front); copy from one of\n  {folders}"
        )
    trial = view.front[0]
    index = best_repeat(view, trial) if repeat is None else find_repeat(view.spec, repeat)
    copy = export_artifact(find_artifact(view, trial.number, index, name), name, output, force=force)
    values = repeat_values(trial.user_attrs, view.spec.repeats) or trial.values
    run = text.run(trial.number, view.spec.run_labels[index])
    print(f"{copy}: {name} of trial {run}, {view.spec.metric.name} = {text.number(values[index])}")
