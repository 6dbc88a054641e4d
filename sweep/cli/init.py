"""`sweep init`: write a sweep file for a function or a script, from its source."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweep.analysis.formatting import plural
from sweep.errors import InputError
from sweep.system.paths import expand_home

if TYPE_CHECKING:
    from sweep.objective.source_info import Source

_TEMPLATE = """\
# Entries that the source does not contain are commented out: edit them and remove their "# ".
# `sweep check {file}` shows what this file means, or what is missing; `sweep run {file}` runs it.

{target}
{metric}

# {{values: [...]}} is a choice, {{min, max}} a range (of integers if both are), a plain value a constant.
{parameters}

{sampler}
{pruner}
{enqueue}
{stop}
resources: {{cpu: 1}}                   # per trial; {{cpu: 2, gpu: 0.5}} puts two trials on a GPU
{max_parallel}
# trial: {{timeout: 30m, retries: 2}}   # per attempt; retries are for crashes
"""
_DEFAULTS = {
    "sampler": "sampler: {type: tpe, seed: 1}         # or gp, cmaes, nsga2, qmc, random, grid",
    "pruner": "# pruner: median                      # stops bad trials early; or asha, hyperband",
    "enqueue": "# enqueue: defaults                   # the first trial has the defaults",
    "stop": "stop: {trials: 50}                    # or hours: 12, target: 0.9; the first one reached counts",
    "max_parallel": "# max_parallel: 2                     # trials at once; default: as many as fit",
}
"""The entries of a file for a source that has no study."""


def init(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", parser=expand_home, help="A function (train.py:train) or a script (train.py)."
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="FILE", parser=expand_home, help="The file to write; - prints it."
        ),
    ] = "TARGET.yaml",
) -> None:
    """Write a sweep file for a function or a script. Its source is read, but not run.

    What the source says becomes an entry: the objective that it passes to study.optimize, the study's
    directions, sampler and pruner, n_trials, enqueued trials. Options of a script (argparse, click, typer,
    tyro, Hydra and others) become commented examples, and `sweep check` reports what is missing.

    \b
    Examples:
      sweep init train.py:train            a function; writes train.yaml
      sweep init train.py                  a script with options
      sweep init conf/search/optuna.yaml   of Hydra's Optuna sweeper
    """
    from sweep.objective.source_reader import read_source

    source = read_source(target)
    name = re.split(r"[/.]", re.sub(r"\.(py|ya?ml)$", "", target.rpartition(":")[0] or target))[-1]
    file = Path(f"{name}.yaml" if output in ("TARGET.yaml", "-") else output)
    text = sweep_file(source, file)
    if output == "-":
        typer.echo(text, nl=False)
        return
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error.strerror}; choose another -o FILE") from None
    count = len(source.parameters) + len(source.examples)
    typer.echo(f"{file}: {plural(count, 'parameter')} found for {source.target}")
    shown = shlex.quote(str(file))
    typer.echo(f"\n  sweep check {shown}    what it means, or what is missing")
    typer.echo(f"  sweep run {shown}      run it")


def sweep_file(source: Source, file: Path) -> str:
    """The text of a sweep file for a source. The name of the sweep is that of `file`."""
    declared, examples = (
        "".join(f"  {_entry(*item)}\n" for item in parameters.items())
        for parameters in (source.parameters, source.examples)
    )
    if source.has_suggestions:
        active = "parameters: define-by-run    # the objective suggests them; to declare them instead:\n"
        examples = "parameters:\n" + declared + examples
    elif declared:
        active = "parameters:\n" + declared
    else:
        active, examples = "", "parameters:\n" + (examples or "  lr: {min: 1e-4, max: 1e-1, log: true}\n")
    notes = (" ".join(filter(str.isprintable, note.split())) for note in source.notes)
    return _TEMPLATE.format(
        file=shlex.quote(str(file)),
        target="\n".join(_target(source, file)),
        metric=_metric(source),
        parameters=(active + indent(examples + "\n".join(notes), "# ")).rstrip(),
        **{key: _study_entry(key, source) for key in _DEFAULTS},
    )


def _target(source: Source, file: Path) -> list[str]:
    """The name of the sweep if it cannot be that of the file, what to run, and how."""
    lines = []
    name = re.sub(r"[^A-Za-z0-9_.\-]+", "-", file.stem).strip(".-")[:100] or "sweep"
    if name != file.stem:
        lines.append(_entry("name", name))
    if source.to_do:
        lines.append(f"# To do: {' '.join(source.to_do.split())}")
    lines.append(f"{'# ' if source.to_do else ''}{_entry(source.key, source.target)}")
    if source.command:
        lines.append(_entry("command", source.command))
    if source.key == "program":
        lines.append(
            "# cwd: ${trial_dir}                    # each trial runs in, and writes to, its own folder"
        )
    return lines


def _metric(source: Source) -> str:
    """The metrics with their goals, or without if the user must add them; commented out if uncertain."""
    goals = source.study.get("goals")
    names = source.metrics or (["objective"] if source.has_suggestions or goals else [])
    if goals is not None and len(goals) == 1 and len(names) == 1:
        return _entry("metric", {"name": names[0], "goal": goals[0]})
    if goals is not None and len(goals) > 1:
        if len(names) != len(goals):
            names = [f"objective_{index}" for index in range(len(goals))]
        pairs = zip(names, goals, strict=True)
        return _entry("metrics", [{"name": name, "goal": goal} for name, goal in pairs])
    if len(names) == 1 and source.has_suggestions:  # otherwise `sweep check` first asks for parameters
        return f"{_entry('metric', {'name': names[0]})}    # add goal: minimize, or goal: maximize"
    also = f"; reported: {', '.join(map(repr, names))}" if len(names) > 1 else ""
    return f"# {_entry('metric', {'name': (*names, 'loss')[0], 'goal': 'minimize'})}    # or maximize{also}"


def _study_entry(key: str, source: Source) -> str:
    """An entry that the source's study has, or the default one; commented out if it is not certain."""
    default = _DEFAULTS[key]
    if key not in source.study:
        return default
    value = source.study[key]
    return f"# {default.removeprefix('# ')}" if value is None else _entry(key, value)


def _entry(key: str, value: Any) -> str:
    """An entry of a sweep file on one line."""
    from sweep.sweepfile.yaml import write_yaml

    return write_yaml({key: value}, flow=True).strip()[1:-1]
