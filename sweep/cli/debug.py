"""`sweep debug`: run one configuration here, with its traceback and `breakpoint()`, outside its study."""

from __future__ import annotations

import re
import tempfile
from bdb import BdbQuit
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweep.cli.options import Runs, Set
from sweep.errors import InputError, nearest_file
from sweep.system.directory import RUNS

if TYPE_CHECKING:
    from sweep.analysis.view import SweepView
    from sweep.debug import DebugTrial
    from sweep.sweepfile.load import SweepFile
    from sweep.system.directory import SweepDirectory


def debug(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A sweep file, or a sweep's name or directory.", show_default=False
        ),
    ],
    trial: Annotated[
        int | None,
        typer.Option(
            "--trial", metavar="N", help="The parameters and the seed of trial N.", show_default=False
        ),
    ] = None,
    params: Annotated[
        list[str] | None,
        typer.Option(
            "--params",
            metavar="PARAMS",
            help="lr=0.1,opt=sgd, {lr: 0.1}, or a file. Repeatable. Others: trial N's, defaults, at random.",
            show_default=False,
        ),
    ] = None,
    repeat: Annotated[
        str | None,
        typer.Option(
            "--repeat", metavar="N", help="Which of its repeats: 0, or seed-42.", show_default="the first"
        ),
    ] = None,
    pdb: Annotated[
        bool, typer.Option("--pdb", help="Look around with pdb where an exception was raised.")
    ] = False,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep", metavar="DIR", help="Keep what it writes, in DIR.", show_default="it is removed"
        ),
    ] = None,
    runs: Runs = RUNS,
    changes: Set = None,
) -> None:
    """Run one configuration once, in this terminal, with its prints, its traceback and breakpoint().

    Nothing is written into the sweep or its study; it may run meanwhile. should_prune() is always False, and
    there is no checkpoint. A number may be outside its range, a constant may be another one: epochs=1.

    \b
    Examples:
      sweep debug space.yaml                           defaults, what has none is sampled
      sweep debug space.yaml --trial 7                 again what trial 7 did, with its seed
      sweep debug digits-cnn --trial 7 --pdb           if only the sweep's directory is there
      sweep debug space.yaml --trial 7 --params epochs=1
      sweep debug space.yaml --params lr=0.1,optimizer=sgd
      sweep best digits-cnn > best.yaml; sweep debug space.yaml --params best.yaml

    Exit status: 0 it ran to its end; 1 it failed; 2 bad input; 130 interrupted.
    """
    from sweep.analysis.view import SweepView
    from sweep.debug import plan
    from sweep.script.reference import ScriptReference

    given = _given(params or [])
    sweep_file, view = _open(file, runs, changes or [])
    near = Path(file).parent if view is None else view.directory.root.parent.parent
    if trial is not None and view is None:
        view = SweepView.open(sweep_file.spec.name, runs)
    with sweep_file.locating():
        planned = plan(sweep_file.spec, near, given, view=view, number=trial, repeat=repeat)
    if pdb and isinstance(planned.objective, ScriptReference):
        raise InputError("--pdb: is for functions; write breakpoint() into the script, it works here")
    with _directory(planned, keep) as directory:
        status = _run(planned, directory, keep is not None, pdb, sweep_file.notes)
    raise typer.Exit(status)


def _open(file: str, runs: Path, changes: list[str]) -> tuple[SweepFile, SweepView | None]:
    """What FILE says; and the sweep, if it names one."""
    from sweep.analysis.view import SweepView
    from sweep.sweepfile import read_sweep_file
    from sweep.sweepfile.load import parse_override

    overrides = [parse_override(change) for change in changes]
    if Path(file).is_file() or Path(file).suffix.partition(":")[0] in (".yaml", ".yml", ".py"):
        return read_sweep_file(file, overrides), None
    view = SweepView.open(file, runs)
    return read_sweep_file(view.directory.spec, overrides), view


_NEXT_KEY = re.compile(r",(?=\s*[\w.\-]+\s*=)")
"""A comma behind which another parameter begins; there are some in lists too."""


def _given(texts: list[str]) -> dict[str, Any]:
    """The parameters of all `--params`; of one that is there twice the last."""
    given: dict[str, Any] = {}
    for text in texts:
        if text.lstrip().startswith("{"):
            given.update(_mapping(text, f"--params {text}"))
        elif "=" not in text:
            given.update(_mapping(_read(Path(text)), text))
        else:
            from sweep.sweepfile.load import parse_override

            for part in _NEXT_KEY.split(text):
                try:
                    _, key, value = parse_override(part.strip(), option="")
                except InputError as error:
                    raise InputError(f"--params {error}") from None
                given[key] = value
    return given


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = nearest_file(path.name, [other.name for other in path.parent.glob("*.*")])
        hint = f"did you mean the file {path.with_name(near)}?" if near else "write for example lr=0.1"
        raise InputError(f"--params {path}: is neither key=value nor a file; {hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--params {path}: cannot be read: {error}") from None


def _mapping(text: str, where: str) -> dict[str, Any]:
    import yaml

    from sweep.sweepfile.types import short_repr
    from sweep.sweepfile.yaml import read_value

    try:
        data = read_value(text)
    except yaml.YAMLError as error:
        raise InputError(f"{where}: is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise InputError(f"{where}: expected parameters such as {{lr: 0.1}}, got {short_repr(data)}")
    return {str(key): value for key, value in data.items()}


@contextmanager
def _directory(trial: DebugTrial, keep: Path | None) -> Iterator[SweepDirectory]:
    """Where the trial writes: a directory like a sweep's."""
    from sweep.system.directory import SweepDirectory

    if keep is None:
        with tempfile.TemporaryDirectory(prefix="sweep-debug-", ignore_cleanup_errors=True) as path:
            yield SweepDirectory(Path(path).resolve())
        return
    directory = SweepDirectory(keep.resolve())
    for folder in (directory.root, *directory.root.parents):
        found = SweepDirectory(folder)
        if found.exists() and (found.lock.exists() or found.journal.exists()):  # not a file of that name
            raise InputError(
                f"--keep {keep}: is in the sweep {folder}, which must stay as it is; choose another"
            )
    place = trial.place(directory).root
    if place.exists():
        raise InputError(f"--keep {keep}: {place} is there already; choose another, or move it away")
    yield directory


def _run(
    trial: DebugTrial, directory: SweepDirectory, is_kept: bool, pdb: bool, notes: tuple[str, ...]
) -> int:
    """Run it; says the exit status."""
    from sweep.console.debug_terminal import DebugTerminal
    from sweep.debug import debug as run_here
    from sweep.engine.attempt import ObjectiveImportError

    terminal = DebugTerminal(trial, pdb)
    terminal.introduce(directory, is_kept, notes)
    try:
        done = run_here(trial, directory, terminal)
    except ObjectiveImportError as error:
        terminal.raised(error.error)
        terminal.fail(f"{trial.spec.objective} cannot be imported")
        return 1
    except BdbQuit:
        terminal.fail("quit in the debugger")
        return 1
    except KeyboardInterrupt:
        terminal.fail("interrupted")
        return 130
    return terminal.conclude(done)
