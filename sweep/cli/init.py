"""`sweep init`: write a sweep file for a function or a script, from its source."""

from __future__ import annotations

import re
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

sampler: {{type: tpe, seed: 1}}         # or gp, cmaes, nsga2, qmc, random, grid
# pruner: median                      # stops bad trials early if they report values; or asha, hyperband
{enqueue}enqueue: defaults  # the first trial has the defaults
stop: {{trials: 50}}                    # or hours: 12, target: 0.9, plateau: 20; the first one reached counts
resources: {{cpu: 1}}                   # per trial; {{cpu: 2, gpu: 0.5}} puts two trials on a GPU
# trial: {{timeout: 30m, retries: 2}}   # per attempt; retries are for crashes
"""


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

    Literal values in trial.suggest_... calls and in options (argparse, click, typer) become entries. The rest
    is commented out, and `sweep check` reports what is missing.

    \b
    Examples:
      sweep init train.py:train            a function that takes a trial; writes train.yaml
      sweep init train.py                  a script with options, or with one function that takes a trial
    """
    from sweep.objective.source_reader import read_source

    source = read_source(target)
    name = re.split(r"[/.]", (target.rpartition(":")[0] or target).removesuffix(".py"))[-1]
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
    typer.echo(f"\n  sweep check {file}    what it means, or what is missing\n  sweep run {file}      run it")


def sweep_file(source: Source, file: Path) -> str:
    """The text of a sweep file for a source. The name of the sweep is that of `file`."""
    from sweep.objective.source_options import FLAG
    from sweep.sweepfile.yaml import write_yaml

    target = [write_yaml({source.key: source.target}).strip()]
    name = re.sub(r"[^A-Za-z0-9_.\-]+", "-", file.stem).strip(".-")[:100] or "sweep"
    if name != file.stem:
        target.insert(0, _entry("name", name))
    if source.key == "program" and FLAG in source.parameters.values():
        command = ["${env}", "${interpreter}", "${program}", "${args_no_boolean_flags}"]
        target.append(f"{_entry('command', command)}  # a flag is passed as --flag or not at all")
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
    has_default = any("default" in entry for entry in source.parameters.values())  # only options have one
    return _TEMPLATE.format(
        file=file,
        target="\n".join(target),
        metric=_metric(source),
        parameters=(active + indent(examples + "\n".join(notes), "# ")).rstrip(),
        enqueue="" if has_default else "# ",
    )


def _metric(source: Source) -> str:
    """The metric, whose goal the user must add; commented out if its name is not certain."""
    names = source.metrics or (["objective"] if source.has_suggestions else [])
    if len(names) == 1 and (source.parameters or source.has_suggestions):
        return f"{_entry('metric', {'name': names[0]})}    # add goal: minimize, or goal: maximize"
    also = f"    # reported: {', '.join(map(repr, names))}" if names else ""
    return f"# {_entry('metric', {'name': (*names, 'loss')[0], 'goal': 'minimize'})}{also}"


def _entry(key: str, value: Any) -> str:
    """An entry of a sweep file on one line."""
    from sweep.sweepfile.yaml import write_yaml

    return write_yaml({key: value}, flow=True).strip()[1:-1]
