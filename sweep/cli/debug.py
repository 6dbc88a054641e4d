"""`sweep debug`: run one configuration in this process, outside its study."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from sweep.cli.options import Runs, Set
from sweep.errors import InputError
from sweep.system.directory import RUNS, SweepDirectory
from sweep.system.paths import expand_home, home_path


def debug(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", parser=expand_home, help="A sweep file, or a sweep's name or directory."
        ),
    ],
    trial: Annotated[int | None, typer.Option("--trial", metavar="N", help="Run trial N again.")] = None,
    params: Annotated[
        list[str] | None,
        typer.Option("--params", metavar="PARAMS", help="lr=0.1,opt=sgd, {lr: 0.1}, or a file. Repeatable."),
    ] = None,
    repeat: Annotated[str, typer.Option("--repeat", metavar="N", help="Which repeat: 0, or seed-42.")] = "",
    pdb: Annotated[bool, typer.Option("--pdb", help="Start pdb where an exception was raised.")] = False,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", metavar="DIR", parser=home_path, help="Write files here, and keep them."),
    ] = None,
    runs: Runs = RUNS,
    changes: Set = None,
) -> None:
    """Run one configuration once, in this terminal, with its output, its traceback and breakpoint().

    Nothing is written to the sweep or its study, and the sweep can run meanwhile. should_prune() is always
    False, and there is no checkpoint. Numbers can be outside their range, and constants can be changed:
    epochs=1. Parameters that are not given come from trial N, else from defaults, else at random.

    \b
    Examples:
      sweep debug space.yaml                           defaults, and random values
      sweep debug digits-cnn --trial 7 --pdb           trial 7 again
      sweep debug space.yaml --params lr=0.1,optimizer=sgd
      sweep debug space.yaml --params best.yaml        of `sweep best`

    Exit status: 0 finished or pruned; 1 failed; 2 invalid input; 130 interrupted.
    """
    from sweep.analysis.view import SweepView
    from sweep.debug import DebugTrial
    from sweep.sweepfile import read_sweep_file
    from sweep.sweepfile.load import parse_override

    given = {key: value for text in params or [] for key, value in _read_params(text).items()}
    is_file = Path(file).is_file() or Path(file).suffix.partition(":")[0] in (".yaml", ".yml", ".py")
    view = None if is_file else SweepView.open(file, runs)
    path = Path(file) if view is None else view.directory.spec
    sweep_file = read_sweep_file(path, [parse_override(change) for change in changes or []])
    if trial is not None and view is None:
        view = SweepView.open(sweep_file.spec.name, runs)
    debug_trial = DebugTrial(sweep_file, given, view, trial, repeat)
    with _root(keep) as root:
        raise typer.Exit(debug_trial.run(Path(root).resolve(), keep is not None, pdb))


def _root(keep: Path | None) -> AbstractContextManager[str | Path]:
    """The directory for what the trial writes: temporary, or `keep`, which must not be in a sweep."""
    if keep is None:
        return TemporaryDirectory(prefix="sweep-debug-", ignore_cleanup_errors=True)
    for folder in (keep.resolve(), *keep.resolve().parents):
        sweep = SweepDirectory(folder)
        if sweep.exists() and (sweep.lock.exists() or sweep.journal.exists()):  # not a file of that name
            raise InputError(
                f"--keep {keep}: the sweep {folder} must not be changed; choose another directory"
            )
    return nullcontext(keep)


def _read_params(text: str) -> dict[str, Any]:
    """The parameters of one --params: `lr=0.1,opt=sgd`, `{lr: 0.1}`, or the name of a file."""
    import yaml

    from sweep.sweepfile.load import parse_override
    from sweep.sweepfile.types import short_repr
    from sweep.sweepfile.yaml import read_value

    is_yaml = text.lstrip().startswith("{")
    try:
        if "=" in text and not is_yaml:
            parts = re.split(r",(?=\s*[^\s,=\[\]{}]+\s*=)", text)  # not at commas in lists
            return {key: value for _, key, value in (parse_override(part.strip(), "") for part in parts)}
        data = read_value(text if is_yaml else home_path(text).read_text(encoding="utf-8"))
    except InputError as error:
        raise InputError(f"--params {error}") from None
    except FileNotFoundError:
        raise InputError(f"--params {text}: is neither key=value nor a file; write lr=0.1") from None
    except IsADirectoryError:
        raise InputError(f"--params {text}: is a folder; write a file in it, or lr=0.1") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"--params {text}: is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise InputError(f"--params {text}: expected parameters such as {{lr: 0.1}}, got {short_repr(data)}")
    return {str(key): value for key, value in data.items()}
