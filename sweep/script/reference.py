"""What to run for each trial, found before anything runs."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.errors import EntryError, nearest
from sweep.script.errors import ScriptError
from sweep.script.patterns import Patterns
from sweep.script.run import Call, ScriptRun
from sweep.script.wandb_offline import wandb_variables, write_parameters
from sweep.sweepfile.command import (
    DEFAULT_COMMAND,
    ENV,
    EXIT_STATUS,
    NO_PROGRAM,
    TRIAL_DIR,
    Command,
    CommandContext,
    CommandError,
    is_of_trial,
)
from sweep.sweepfile.files import find_file
from sweep.sweepfile.tree import flatten
from sweep.sweepfile.wandb.command import make_command, nest
from sweep.trial.trial import Objective, Trial

if TYPE_CHECKING:
    from sweep.sweepfile import SweepSpec


@dataclass(frozen=True)
class ScriptReference:
    """What to run for each trial.

    Args:
        command: with macros.
        program: what `${program}` stands for.
        file: where that lies.
        variables: the sweep file's `env`.
        metric: the name of what the sweep optimises.
        cwd: where it runs, if that depends on the trial.
        patterns: regular expressions that find metrics in its output.
        groups: for W&B's commands the parameters that are passed on as one mapping.
        labels: the names of each trial's repeats; an empty one without repeats.
        is_attached: whether it belongs to the terminal that this process belongs to.
        here: what `${envvar:NAME}` asks for, as it is where the sweep was started; a cluster's machines may
            not have it.
    """

    command: Command
    program: str | None
    variables: Mapping[str, str]
    metric: str
    cwd: str | None = None
    file: Path | None = None
    patterns: tuple[str, ...] | Mapping[str, str] = ()
    groups: tuple[str, ...] = ()
    labels: tuple[str, ...] = ("",)
    is_attached: bool = False
    here: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def find(cls, spec: SweepSpec, near: Path, directory: Path) -> ScriptReference:
        """Find what a sweep file's `program` and `command` name.

        Args:
            spec: the sweep.
            near: the sweep file's directory.
            directory: where the script will run.

        Raises:
            EntryError: it is not there, or cannot be run.
        """
        command = make_command(spec.command or DEFAULT_COMMAND, spec.arguments)
        program = spec.program
        if program == NO_PROGRAM:
            raise EntryError("program", "is missing; say --set program=train.py, or objective=train.py:train")
        path = None
        if program is not None and command.uses("program"):
            path = find_file("program", program, [directory, near], "*")
            if path != (directory / program).resolve() or (spec.cwd is not None and is_of_trial(spec.cwd)):
                program = str(path)
            if spec.command is None and not command.as_wandb and path.suffix != ".py":
                if not os.access(path, os.X_OK):
                    raise EntryError(
                        "program",
                        f"{program} is neither a .py file nor executable; make it so (chmod +x {program}), "
                        'or say how to run it, for example command: [bash, "${program}", "${args}"]',
                    )
                command = Command(("${program}", "${args}"))
                program = program if os.sep in program else f"./{program}"
        found = replace(cls.of(spec), command=command, program=program, file=path)
        found._check_first(spec, directory)
        return found

    @classmethod
    def of(cls, spec: SweepSpec) -> ScriptReference:
        """What a sweep file says, without a look at whether it is there."""
        command = make_command(spec.command or DEFAULT_COMMAND, spec.arguments)
        asked = [*command.variables, *Command(tuple(spec.env.values())).variables]
        return cls(
            command,
            spec.program,
            spec.env,
            spec.metric.name,
            spec.cwd if spec.cwd is not None and is_of_trial(spec.cwd) else None,
            patterns=() if spec.metrics_from is None else spec.metrics_from.regex,
            groups=tuple(spec.groups),
            labels=spec.run_labels,
            here={name: os.environ[name] for name in asked if name in os.environ},
        )

    def _check_first(self, spec: SweepSpec, directory: Path) -> None:
        """See that there is something to run, as far as that can be known before there is a trial."""
        plain = {name: text for name, text in self.variables.items() if "${" not in text}
        variables = _with_our_python({**_inherited(), **plain})
        facts = CommandContext(self.interpreter(), self.program, "args.json", variables, "trial", 0, 0)
        of_trial = {f"${{{name}}}" for name in [*flatten(spec.parameters), "trial_dir", "number", "seed"]}
        for item in self.command.items:
            if not self.command.as_wandb and any(macro in item for macro in of_trial):
                return
            for word in replace(self.command, items=(item,)).arguments({}, facts):
                if word == ENV:
                    continue
                if "=" not in word and not word.startswith("-"):
                    _check_executable(word, directory, variables.get("PATH", os.defpath))
                return

    def load(self) -> Objective:
        """Something that runs the script for a trial, and returns nothing: what it reports counts."""
        return self._run

    def prepare(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters as the script sees them."""
        return nest(params, self.groups) if self.command.as_wandb else dict(params)

    def arguments(self, params: Mapping[str, Any], directory: Path, number: int, seed: int) -> list[str]:
        """The command line of a trial.

        Args:
            params: the trial's parameters.
            directory: the trial's.
            number: the trial's.
            seed: the trial's.

        Raises:
            CommandError: it uses a parameter that this trial does not have.
        """
        return self._call(params, directory, number, seed)[0]

    def as_arguments(self, params: Mapping[str, Any]) -> list[str]:
        """Parameters as they stand in the command line of a trial that has them.

        Raises:
            CommandError: they are not all there.
        """
        passing = replace(self, command=self.command.of_parameters(params))
        return passing.arguments(params, Path(), 0, 0)

    def _call(
        self, params: Mapping[str, Any], directory: Path, number: int, seed: int
    ) -> tuple[list[str], dict[str, str]]:
        """A trial's command line, and its environment."""
        seen = self.prepare(params)
        facts = CommandContext(
            interpreter=self.interpreter(),
            program=self.program,
            args_json_file=str(_args_file(directory)),
            variables={**self.here, **_inherited()},
            trial_dir=str(directory),
            number=number,
            seed=seed,
        )
        flat = {**params, **seen}  # W&B's rules are for the command; in `env` each parameter has its name
        own = {name: Command((text,)).arguments(flat, facts)[0] for name, text in self.variables.items()}
        variables = _with_our_python({**facts.variables, **own})
        return self.command.arguments(seen, replace(facts, variables=variables)), variables

    def interpreter(self) -> str:
        """What `${interpreter}` stands for.

        To W&B it is the word `python`, which people know from their logs and process lists;
        `_with_our_python` sees to it that this is the Python that runs the sweep. Not every environment has
        one of that name.
        """
        if self.command.as_wandb and (Path(sys.executable).parent / "python").exists():
            return "python"
        return sys.executable

    def _run(self, trial: Trial) -> dict[str, float]:
        try:
            arguments, variables = self._call(trial.params, trial.directory, trial.number, trial.seed)
        except CommandError as error:
            raise ScriptError(str(error)) from None
        params = self.prepare(trial.params)
        if self.command.uses("args_json_file"):
            _args_file(trial.directory).write_text(json.dumps(params))
        cwd = None
        if self.cwd is not None:
            cwd = Path(self.cwd.replace(TRIAL_DIR, str(trial.directory)))
            cwd.mkdir(parents=True, exist_ok=True)
        write_parameters(trial.directory, params)
        # A script whose lines arrive when its buffer is full would be pruned too late.
        variables.setdefault("PYTHONUNBUFFERED", "1")
        label = self.labels[trial.repeat]
        wandb = wandb_variables(trial.directory, trial.study.study_name, trial.number, label, trial.seed)
        variables.update({name: value for name, value in wandb.items() if name not in self.variables})
        variables.pop("WANDB_SERVICE", None)  # that of a run around the sweep, if there is one
        values = ScriptRun(
            trial, self.metric, Patterns(self.patterns), Call(arguments, variables, cwd, self.is_attached)
        ).run()
        return {**values, EXIT_STATUS: 0.0} if self.metric == EXIT_STATUS else values


def _inherited() -> dict[str, str]:
    """What a script inherits."""
    variables = dict(os.environ)
    if variables.get("PYTHONBREAKPOINT", "").startswith("ray."):  # it fails outside of a worker
        del variables["PYTHONBREAKPOINT"]
    return variables


def _with_our_python(variables: dict[str, str]) -> dict[str, str]:
    """The same, with `python`, and tools such as torchrun, of the environment that runs the sweep, even if
    nobody has activated it."""
    path = variables.get("PATH", os.defpath)
    here = str(Path(sys.executable).parent)
    found = shutil.which("python", path=path)
    if found is None or str(Path(found).parent) != here:
        variables["PATH"] = f"{here}{os.pathsep}{path}"
    return variables


def _args_file(directory: Path) -> Path:
    return directory / "args.json"


def _check_executable(word: str, directory: Path, path: str) -> None:
    if os.sep in word:
        file = directory / word
        if not file.is_file():
            raise EntryError("command", f"there is no file {word} (looked in {directory})")
        if not os.access(file, os.X_OK):
            raise EntryError("command", f"{word} is not executable; chmod +x {word}")
    elif shutil.which(word, path=path) is None:
        hint = f"; did you mean ./{word}?" if (directory / word).is_file() else ""
        if not hint:
            folders = [Path(folder) for folder in path.split(os.pathsep) if Path(folder).is_dir()]
            near = nearest(word, [file.name for folder in folders for file in sorted(folder.iterdir())])
            hint = f"; did you mean {near}?" if near else ""
        raise EntryError("command", f"there is no program {word!r} on PATH{hint}")
