"""The script of a sweep: its command, found and checked before the sweep starts."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.caller import caller
from sweep.errors import EntryError
from sweep.script.errors import ScriptError
from sweep.script.executables import check_executable
from sweep.script.follower import follow
from sweep.script.patterns import Patterns
from sweep.script.process import Invocation
from sweep.script.program import find_program
from sweep.script.ranks import example_rank, own_rank, rank_macros, rank_variables, starts_ranks
from sweep.script.run import ScriptRun
from sweep.script.wandb_offline import wandb_variables, write_parameters
from sweep.sweepfile.command import (
    DEFAULT_COMMAND,
    ENV,
    EXIT_STATUS,
    NO_PROGRAM,
    TRIAL_DIR,
    TRIAL_MACROS,
    Command,
    CommandContext,
    CommandError,
    depends_on_trial,
)
from sweep.sweepfile.wandb.command import make_command, nest
from sweep.system.directory import TrialDirectory
from sweep.system.paths import moved
from sweep.system.ranks import Rank
from sweep.trial.trial import Objective, Trial

if TYPE_CHECKING:
    from sweep.sweepfile import SweepSpec


@dataclass(frozen=True)
class ScriptReference:
    """The script that a sweep runs for each trial.

    Args:
        command: the command, with macros.
        program: the value of `${program}`.
        file: the path of the program.
        variables: the sweep file's `env`.
        metric: the name of the metric that the sweep optimizes.
        cwd: the working directory, if it depends on the trial.
        patterns: regular expressions that find metrics in its output.
        groups: the names of the groups of each parameter in one, which W&B's commands pass as one mapping.
        labels: the names of each trial's repeats; one empty name without repeats.
        is_attached: whether the script reads from the terminal of this process and receives its Ctrl-C.
        gpus: the number of GPUs of each worker of a trial; 1 for a share of one, or for none.
        workers: how many workers run a trial together. Each runs the command.
        launch_variables: the variables that `${envvar:NAME}` refers to, from the environment in which the
            sweep was started. The machines of a cluster may have other values.
    """

    command: Command
    program: str | None
    variables: Mapping[str, str]
    metric: str
    cwd: str | None = None
    file: Path | None = None
    patterns: tuple[str, ...] | Mapping[str, str] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: tuple[str, ...] = ("",)
    is_attached: bool = False
    gpus: int = 1
    workers: int = 1
    launch_variables: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def find(cls, spec: SweepSpec, near: Path, directory: Path) -> ScriptReference:
        """Find the script that a sweep file's `program` and `command` name.

        Args:
            spec: the sweep.
            near: the sweep file's directory.
            directory: the directory in which the script will run.

        Raises:
            EntryError: the script does not exist or cannot be run.
        """
        from sweep.sweepfile.tree import flatten  # imports the models, which no worker needs

        parameters = flatten(spec.parameters)
        command = make_command(spec.command or DEFAULT_COMMAND, spec.arguments)
        program = spec.program
        if program == NO_PROGRAM:
            add = caller().entry
            raise EntryError(
                "program",
                f"is missing; add {add('program', 'train.py')}, or {add('objective', 'train.py:train')}",
            )
        path = None
        if program is not None and command.uses("program"):
            has_command = spec.command is not None or command.as_wandb
            direct = Command(("${program}", "${args}"))
            path = find_program(
                program, command if has_command else direct, [directory, near], _known_variables(spec.env)
            )
            if path is not None and (
                path != (directory / program).resolve()
                or (spec.cwd is not None and depends_on_trial(spec.cwd))
            ):
                program = str(path)
            if not has_command and (path is None or (path.suffix != ".py" and path.is_file())):
                if path is not None and not os.access(path, os.X_OK):
                    raise EntryError(
                        "program",
                        f"{program} is neither a .py file nor executable; run chmod +x {program}, "
                        'or write how to run it, for example command: [bash, "${program}", "${args}"]',
                    )
                command = direct
                if path is not None and os.sep not in program:
                    program = f"./{program}"
        command = command.with_hydra_dirs(parameters, path is not None and _uses_hydra(path))
        reference = replace(cls.of(spec), command=command, program=program, file=path)
        reference._check_executable(parameters, directory)
        return reference

    @classmethod
    def of(cls, spec: SweepSpec) -> ScriptReference:
        """The script of a sweep file, without checking that it exists."""
        command = make_command(spec.command or DEFAULT_COMMAND, spec.arguments)
        names = [*command.variables, *Command(tuple(spec.env.values())).variables]
        return cls(
            command,
            spec.program,
            spec.env,
            spec.metric.name,
            spec.cwd if spec.cwd is not None and depends_on_trial(spec.cwd) else None,
            patterns=() if spec.metrics_from is None else spec.metrics_from.regex,
            groups=spec.groups,
            labels=spec.run_labels,
            gpus=max(1, int(spec.resources.gpus)),
            workers=spec.resources.workers,
            launch_variables={name: os.environ[name] for name in names if name in os.environ},
        )

    def _check_executable(self, parameters: Iterable[str], directory: Path) -> None:
        """Check that the command's executable exists, unless it depends on the trial."""
        variables = _known_variables(self.variables)
        context = CommandContext(
            self.interpreter(), self.program, "args.json", variables, "trial", 0, 0, str(directory)
        )
        of_trial = {f"${{{name}}}" for name in [*parameters, *TRIAL_MACROS]}
        by_env = False
        for item in self.command.items:
            if not self.command.as_wandb and any(macro in item for macro in of_trial):
                return
            for argument in replace(self.command, items=(item,)).arguments({}, context):
                if argument == ENV:
                    by_env = True
                    continue
                if "=" not in argument and not argument.startswith("-"):
                    check_executable(argument, directory, variables.get("PATH", os.defpath), by_env)
                return

    def moved(self, old: Path, new: Path) -> ScriptReference:
        """The same script in a copy of a folder."""
        program = self.program
        if program is not None and os.path.isabs(program):  # others are relative to the working directory
            program = str(moved(Path(program), old, new))
        return replace(self, program=program, file=None if self.file is None else moved(self.file, old, new))

    @property
    def starts_ranks(self) -> bool:
        """Whether the command starts the ranks of its machine itself, as torchrun does, and is not one."""
        return starts_ranks(self.command)

    def load(self) -> Objective:
        """The objective: runs the script for a trial and returns the metrics that it has reported."""
        return self._run

    def prepare(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters as the script receives them."""
        return nest(params, self.groups) if self.command.as_wandb else dict(params)

    def arguments(self, params: Mapping[str, Any], directory: Path, number: int, seed: int) -> list[str]:
        """The command line of a trial.

        Args:
            params: the trial's parameters.
            directory: the trial's directory.
            number: the trial's number.
            seed: the trial's seed.

        Raises:
            CommandError: the command uses a parameter that this trial does not have.
        """
        return self._expand(params, directory, number, seed, example_rank(self.workers))[0]

    def as_arguments(self, params: Mapping[str, Any]) -> list[str]:
        """Parameters as command-line arguments.

        Raises:
            CommandError: the command uses a parameter that is missing.
        """
        passing = replace(self, command=self.command.of_parameters(params))
        return passing.arguments(params, Path(), 0, 0)

    def _expand(
        self, params: Mapping[str, Any], directory: Path, number: int, seed: int, rank: Rank
    ) -> tuple[list[str], dict[str, str]]:
        """A worker's command line and environment for a trial."""
        passed = self.prepare(params)
        of_rank = rank_variables(self.command, rank)
        context = CommandContext(
            interpreter=self.interpreter(),
            program=self.program,
            args_json_file=str(TrialDirectory(directory).of_rank(rank.rank).arguments),
            variables={**self.launch_variables, **_inherited(), **of_rank},
            trial_dir=str(directory),
            number=number,
            seed=seed,
            cwd=os.getcwd(),
            ranks=rank_macros(self.gpus, rank),
        )
        flat = {**params, **passed}  # in `env` each parameter has its own name, even with W&B's groups
        env = {name: Command((text,)).arguments(flat, context)[0] for name, text in self.variables.items()}
        variables = _with_sweep_python({**context.variables, **env})
        return self.command.arguments(passed, replace(context, variables=variables)), variables

    def interpreter(self) -> str:
        """The value of `${interpreter}`.

        For W&B's sweeps it is `python`, as users know it from logs and process lists, if the environment of
        the sweep has an executable of that name. `_with_sweep_python` ensures that it is the one that runs.
        """
        if self.command.as_wandb and (Path(sys.executable).parent / "python").exists():
            return "python"
        return sys.executable

    def _run(self, trial: Trial) -> dict[str, float]:
        with own_rank(self.workers) as rank:
            return self._run_as(rank, trial)

    def _run_as(self, rank: Rank, trial: Trial) -> dict[str, float]:
        try:
            arguments, variables = self._expand(trial.params, trial.directory, trial.number, trial.seed, rank)
        except CommandError as error:
            raise ScriptError(str(error)) from None
        params = self.prepare(trial.params)
        own = TrialDirectory(trial.directory).of_rank(rank.rank)
        own.root.mkdir(exist_ok=True)
        if self.command.uses("args_json_file"):
            own.arguments.write_text(json.dumps(params))
        cwd = None
        if self.cwd is not None:
            cwd = Path(self.cwd.replace(TRIAL_DIR, str(trial.directory)))
            cwd.mkdir(parents=True, exist_ok=True)
        write_parameters(own.root, params)
        # With buffered output, metrics would arrive too late for pruning.
        variables.setdefault("PYTHONUNBUFFERED", "1")
        variables.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra hides the exception that is a trial's reason
        label = self.labels[trial.repeat]
        env = {name: variables[name] for name in self.variables}
        variables.update(
            wandb_variables(own.root, trial.study.study_name, trial.number, label, trial.seed, env)
        )
        variables.pop("WANDB_SERVICE", None)  # of a W&B run in which the sweep was started
        invocation = Invocation(arguments, variables, cwd, self.is_attached)
        if rank.rank > 0:
            follow(trial, invocation, rank.rank)
            return {}
        values = ScriptRun(trial, self.metric, Patterns(self.patterns), invocation).run()
        return {**values, EXIT_STATUS: 0.0} if self.metric == EXIT_STATUS else values


def _uses_hydra(program: Path) -> bool:
    """Whether a Python program is started by Hydra, which then reads its arguments."""
    return program.suffix == ".py" and b"hydra.main(" in program.read_bytes()


def _inherited() -> dict[str, str]:
    """The environment that a script inherits."""
    variables = dict(os.environ)
    if variables.get("PYTHONBREAKPOINT", "").startswith("ray."):  # Ray's debugger fails outside a worker
        del variables["PYTHONBREAKPOINT"]
    return variables


def _known_variables(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of a script, without what differs between trials.

    Args:
        env: the sweep file's `env`.
    """
    plain = {name: text for name, text in env.items() if "${" not in text}
    return _with_sweep_python({**_inherited(), **plain})


def _with_sweep_python(variables: dict[str, str]) -> dict[str, str]:
    """Add the directory of the sweep's Python to PATH, for `python` and tools such as torchrun.

    The user may not have activated that environment.
    """
    path = variables.get("PATH", os.defpath)
    here = str(Path(sys.executable).parent)
    python = shutil.which("python", path=path)
    if python is None or str(Path(python).parent) != here:
        variables["PATH"] = f"{here}{os.pathsep}{path}"
    return variables
