"""`sweep check`: what a sweep file means, without running anything."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweep.cli.options import File, Name, Set

if TYPE_CHECKING:
    from sweep.sweepfile.parameters import Leaf
    from sweep.sweepfile.tree import FlatParameter


def check(
    file: File,
    name: Name = None,
    changes: Set = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check a sweep file and show what it means: its space, the size of its grid, some configurations.

    \b
    Examples:
      sweep check space.yaml
      sweep check space.yaml --set sampler=grid --json
    """
    from sweep.cli.run import overrides
    from sweep.cli.show import print_json
    from sweep.sweepfile import read_sweep_file

    sweep_file = read_sweep_file(file, overrides(name, None, None, changes))
    spec = sweep_file.spec

    from sweep.preview import preview

    with sweep_file.locating():
        seen = preview(spec, near=file.parent, may_lack_program=sweep_file.is_wandb)
    notes = [*sweep_file.notes, *seen.notes]
    if as_json:
        print_json(
            {
                "parameters": {
                    key: parameter.model_dump(mode="json", exclude_unset=True)
                    for key, parameter in seen.parameters.items()
                },
                "grid": seen.grid,
                "samples": seen.samples,
                "command": seen.command,
                "notes": notes,
            }
        )
        return

    from rich.console import Console
    from rich.table import Table

    from sweep.analysis import formatting as text
    from sweep.sweepfile.tree import flatten

    space = Table(box=None, header_style="bold", pad_edge=False)
    is_conditional = any(node.conditions for node in flatten(spec.parameters).values())
    for title in ("parameter", "values", "scale", *(["when"] if is_conditional else [])):
        space.add_column(title)
    nodes = flatten(spec.parameters)
    for key, node in nodes.items():
        space.add_row(key, *_describe(node.parameter), *([_conditions(node)] if is_conditional else []))
    samples = Table(box=None, header_style="bold", pad_edge=False)
    for key in nodes:
        samples.add_column(key, justify="right")
    for sample in seen.samples:
        samples.add_row(*(text.parameter(sample[key]) if key in sample else "-" for key in nodes))
    console = Console(markup=False, emoji=False)
    console.print(
        f"{spec.name}: {spec.goals_text} of {spec.entry_point} with {spec.sampler.type}, "
        f"pruner {spec.pruner.type}",
        highlight=False,
    )
    console.print()
    if not spec.is_define_by_run:
        console.print(space, highlight=False)
        console.print(f"\ngrid: {'unbounded' if seen.grid is None else seen.grid}\n", highlight=False)
        console.print(samples, highlight=False)
    if seen.command is not None:
        console.print(f"\n{shlex.join(seen.command)}\n", highlight=False, soft_wrap=True)
    for note in notes:
        console.print(f"note: {note}", highlight=False)


def _conditions(node: FlatParameter) -> str:
    return ", ".join(
        f"{one.name} {'=' if len(one.values) == 1 else 'in'} {' '.join(map(str, one.values))}"
        for one in node.conditions
    )


def _describe(parameter: Leaf) -> tuple[Any, str]:
    from rich.text import Text

    from sweep.sweepfile.parameters import DISTRIBUTIONS, Choice, Constant, Distribution

    if isinstance(parameter, Constant):
        return Text(repr(parameter.value)), "constant"
    if isinstance(parameter, Choice):
        if parameter.probabilities is None:
            return Text(", ".join(map(repr, parameter.values))), "choice"
        total = sum(parameter.probabilities)
        shares = zip(parameter.values, parameter.probabilities, strict=True)
        return Text(", ".join(f"{value!r} {weight / total:.0%}" for value, weight in shares)), "choice"
    if isinstance(parameter, Distribution):
        keys = DISTRIBUTIONS[parameter.distribution]
        return Text(", ".join(f"{key} {getattr(parameter, key)}" for key in keys)), parameter.distribution
    kind = "int" if parameter.is_int else "float"
    scale = f"{kind}, log" if parameter.log else kind
    step = f" step {parameter.step}" if parameter.step is not None else ""
    others = "".join(f" or {value!r}" for value in parameter.alternatives or ())
    return Text(f"{parameter.min} to {parameter.max}{step}{others}"), scale
