"""`sweep init`: begin a sweep file from the code it is for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweep.analysis.formatting import plural
from sweep.errors import InputError

if TYPE_CHECKING:
    from sweep.objective.source.found import Source


def init(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET", help="A function (train.py:train) or a script (train.py).", show_default=False
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write it; - prints it.",
            show_default="TARGET's name with .yaml, in the current folder",
        ),
    ] = None,
) -> None:
    """Write a sweep file for a function or a script: its parameters and metrics are read from the code.

    The code is not run. What it does not tell is guessed, and marked so.

    \b
    Examples:
      sweep init train.py:train            a function that takes a trial; writes train.yaml
      sweep init train.py                  a script with arguments, or the file's one function
      sweep init train.py -o space.yaml
      sweep init train.py -o -             print it only
    """
    from sweep.objective.source.inspect import inspect_source

    source = inspect_source(target)
    file = Path(
        f"{Path(target.rpartition(':')[0] or target).stem}.yaml" if output in (None, "-") else str(output)
    )
    text = sweep_file(source, file)
    if output == "-":
        typer.echo(text, nl=False)
        return
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise InputError(f"{file}: is there already; choose another -o FILE, or -o - to print") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error.strerror}") from None
    typer.echo(f"{file}: {plural(len(source.parameters), 'parameter')} found for {source.work}")
    if guesses := text.count("# guessed"):
        typer.echo(f"{plural(guesses, 'line')} with a guess: look there first")
    for note in source.notes:
        typer.echo(f"note: {note}")
    typer.echo(f"\n  sweep check {file}    what it means\n  sweep run {file}      run it")


def sweep_file(source: Source, file: Path) -> str:
    """The text of a sweep file.

    Args:
        source: what it is for.
        file: where it will stand, for its name.
    """
    metric, goal, why = _metric(source)
    parameters = _parameters(source)
    lines = [
        '# Lines that say "guessed" are not in the code: look at them first. Then',
        f"#   sweep check {file}    shows what this file means, without running anything",
        f"#   sweep run {file}      runs it; the same command goes on after an interruption",
        "",
    ]
    name = re.sub(r"[^A-Za-z0-9_.\-]+", "-", file.stem).strip(".-")[:100] or "sweep"
    if name != file.stem:
        lines.append(_line(f"name: {_flow(name)}", "the sweep's directory below runs/"))
    if source.kind == "function":
        lines.append(_line(_entry("objective", source.work), "the function that a trial calls"))
    else:
        lines.append(_line(_entry("program", source.work), "a trial runs it with --name=value for all"))
    if source.has_flags:
        command = ["${env}", "${interpreter}", "${program}", "${args_no_boolean_flags}"]
        lines += ["# a flag is passed as --flag or not at all", f"command: {_flow(command)}"]
    if source.values > 1:
        is_told = len(source.goals) == source.values
        words = source.goals if is_told else ["minimize"] * source.values
        goals = [{"name": f"objective_{index}", "goal": word} for index, word in enumerate(words)]
        of_goals = (
            "the goals are those of create_study"
            if is_told
            else "guessed: is less better, or more (maximize)?"
        )
        lines.append(_line(f"metrics: {_flow(goals)}", of_goals))
    else:
        lines.append(_line(f"metric: {_flow({'name': metric, 'goal': goal})}", why))
    if len(source.metrics) > 1:
        lines.append(_comment(f"also reported: {', '.join(source.metrics[1:9])}"))
    lines.append("")
    if source.in_optuna:
        lines += [
            _line("parameters: define-by-run", "the objective asks for them, as with Optuna"),
            "# Instead they can be declared, which grids and constraints need. The code may stay as it is:",
            '# trial.suggest_float("lr", ...) gives the declared one then. What it asks for only under',
            "# conditions needs when: {optimizer: sgd}.",
            "# parameters:",
        ]
    else:
        lines += [
            "# A bare value is a constant, {values: [...]} a choice, {min, max} a range: of whole numbers if",
            "# both bounds are, on a log scale with log: true. default is for `enqueue: defaults`.",
            "parameters:",
        ]
    mark = "# " if source.in_optuna else ""
    for key, values, is_guess in parameters:
        doubts = ["guessed"] * is_guess
        doubts += ["asked for under a condition: add when"] * (key in source.conditional)
        lines.append(_line(f"{mark}  {_flow({key: values})[1:-1]}", "; ".join(doubts)))
    if not parameters and not source.in_optuna:
        wanted = "in trial.params" if source.kind == "function" else "of its options"
        lines.append(_line("  x: {min: 0.0, max: 1.0}", f"guessed: none was found; write the names {wanted}"))
    lines += [f"  {_comment(note)}" for note in dict.fromkeys(source.notes)]
    has_default = not source.in_optuna and any(
        isinstance(values, dict) and "default" in values for _, values, _ in parameters
    )
    lines += [
        "",
        _line("sampler: {type: tpe, seed: 1}", "how to choose: tpe, gp, cmaes, nsga2, qmc, random, grid"),
        _line("pruner: median", "stops bad trials early; or asha, hyperband, none")
        if source.reports
        else _line("# pruner: median", "stops bad trials early, if they report while they run"),
        _line("# enqueue: [{lr: 0.01}]", "configurations to begin with")
        if source.in_optuna
        else _line(f"{'' if has_default else '# '}enqueue: defaults", "the first trial has the defaults"),
        _line(
            f"stop: {{trials: {source.trials or 50}}}",
            "or hours: 12, target: 0.9, plateau: 20; whichever is first",
        ),
        _line("resources: {cpu: 1}", "per trial; {cpu: 2, gpu: 0.5} puts two trials on a GPU"),
        _line("# max_parallel: 4", "as many at once as fit unless given"),
        _line("# repeats: 3", "each trial with three seeds; their mean counts"),
        _line("# trial: {timeout: 30m, retries: 2}", "per attempt; retries are for crashes"),
    ]
    return "\n".join(lines) + "\n"


def _metric(source: Source) -> tuple[str, str, str]:
    """The metric's name, its goal, and what to say of them."""
    from sweep.objective.source.guesses import goal_of

    if not source.metrics:
        means = (
            "trial.report or a returned value counts"
            if source.kind == "function"
            else 'print(json.dumps({"step": 0, "loss": 0.1})) reports it'
        )
        goal = source.goal or "minimize"
        if source.in_optuna:
            why = "the goal is that of create_study" if source.goal else "guessed: is less better, or more?"
            return "objective", goal, why
        if source.goal:
            return "value", goal, f"the name is guessed; {means}"
        return "loss", goal, f"guessed: none was found; {means}"
    name = source.metrics[0]
    if source.goal:
        return name, source.goal, "the goal is that of create_study"
    found = goal_of(name)
    if found is None:
        return name, "minimize", "guessed: is less better, or more (maximize)?"
    return name, found, "guessed: the goal, from the name"


def _parameters(source: Source) -> list[tuple[str, Any, bool]]:
    """Names, values, and whether these are guessed; what a sweep file cannot say is replaced."""
    from pydantic import TypeAdapter, ValidationError

    from sweep.objective.source.guesses import by_name
    from sweep.sweepfile.declared_parameters import Parameters

    adapter: TypeAdapter[Any] = TypeAdapter(Parameters)
    found = []
    for name, values in source.parameters.items():
        guessed = name in source.guessed
        try:
            adapter.validate_python({name: values})
        except ValidationError:
            values, guessed = by_name(name), True
        found.append((name, values, guessed))
    return _with_conditions(found, source.when)


def _with_conditions(
    parameters: list[tuple[str, Any, bool]], when: Mapping[str, dict[str, Any]]
) -> list[tuple[str, Any, bool]]:
    """Add `when`; its words have to be values that the parameters still have."""
    values = {name: entry.get("values") for name, entry, _ in parameters if isinstance(entry, dict)}
    found = []
    for name, entry, guessed in parameters:
        conditions = when.get(name, {})
        wanted = {other: words if isinstance(words, list) else [words] for other, words in conditions.items()}
        is_possible = all(
            word in (values.get(other) or ()) for other, words in wanted.items() for word in words
        )
        if conditions and isinstance(entry, dict) and is_possible:
            entry = {**entry, "when": conditions}
        found.append((name, entry, guessed))
    return found


_COLUMN = 56


def _line(entry: str, comment: str) -> str:
    return f"{entry:<{_COLUMN}}  {_comment(comment)}" if comment else entry


def _comment(text: str) -> str:
    """On one line, whatever the names in it consist of."""
    return "# " + " ".join(filter(str.isprintable, text.split()))


def _entry(key: str, value: str) -> str:
    from sweep.sweepfile.yaml import write_yaml

    return write_yaml({key: value}).strip()


def _flow(data: Any) -> str:
    """Plain data as YAML on one line, numbers as people write them."""
    from sweep.sweepfile.yaml import write_yaml

    if isinstance(data, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(value)}" for key, value in data.items()) + "}"
    if isinstance(data, list):
        return "[" + ", ".join(map(_flow, data)) + "]"
    if isinstance(data, float):
        text = re.sub(r"e([-+]?)0*(\d)", r"e\1\2", repr(data)).replace("e+", "e")
        return text if "." in text or "e" in text else f"{text}.0"
    return write_yaml([data], flow=True).strip()[1:-1]
