"""An objective that is a script: a process of its own for each trial, whose output says how it goes."""

from __future__ import annotations

import json
import os
import queue
import selectors
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from sweep.engine import processes
from sweep.errors import EntryError, nearest
from sweep.objective.command import DEFAULT_COMMAND, ENV, EXIT_STATUS, NO_PROGRAM, Command, Facts, nest
from sweep.objective.function import Objective, find_file
from sweep.objective.result import ScriptCrash, ScriptError
from sweep.objective.wandb_offline import OfflineRuns, Record, wandb_variables, write_parameters
from sweep.trial import STEPS, Trial

if TYPE_CHECKING:
    from sweep.spec import SweepSpec

_GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""
_GRACE_FOR_REST = 0.5
"""The same for what a script has left behind."""
_LOOK_EVERY = 0.2
_LOOK_AT_WANDB_EVERY = 1.0
_LONGEST_LINE = 1 << 20
_TAIL = 60
"""How many of the last lines of its output tell why a script has failed."""
_STEP_NAMES = ("step", "_step")


@dataclass(frozen=True)
class ScriptReference:
    """What to run for each trial.

    Args:
        command: with macros.
        program: what `${program}` stands for.
        variables: the sweep file's `env`.
        metric: the name of what the sweep optimises.
        groups: for W&B's commands the parameters that are passed on as one mapping.
        is_attached: whether it belongs to the terminal that this process belongs to.
    """

    command: Command
    program: str | None
    variables: Mapping[str, str]
    metric: str
    groups: tuple[str, ...] = ()
    is_attached: bool = False

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
        as_wandb = spec.arguments == "nested"
        command = Command(spec.command or DEFAULT_COMMAND, as_wandb)
        program = spec.program
        if program == NO_PROGRAM:
            raise EntryError("program", "is missing; say --set program=train.py, or objective=train.py:train")
        if program is not None and command.uses("program"):
            path = find_file("program", program, [directory, near], "*")
            if path != (directory / program).resolve():
                program = str(path)
            if spec.command is None and not as_wandb and path.suffix != ".py":
                if not os.access(path, os.X_OK):
                    raise EntryError(
                        "program",
                        f"{program} is neither a .py file nor executable; make it so (chmod +x {program}), "
                        'or say how to run it, for example command: [bash, "${program}", "${args}"]',
                    )
                command = Command(("${program}", "${args}"))
                program = program if os.sep in program else f"./{program}"
        found = replace(cls.of(spec), command=command, program=program)
        found._check_first(spec, directory)
        return found

    @classmethod
    def of(cls, spec: SweepSpec) -> ScriptReference:
        """What a sweep file says, without a look at whether it is there."""
        command = Command(spec.command or DEFAULT_COMMAND, spec.arguments == "nested")
        return cls(command, spec.program, spec.env, spec.metric.name, tuple(spec.groups))

    def _check_first(self, spec: SweepSpec, directory: Path) -> None:
        """See that there is something to run, as far as that can be known before there is a trial."""
        variables = self.environment()
        facts = Facts(self.interpreter(), self.program, "args.json", variables, "trial", 0, 0)
        of_trial = {f"${{{name}}}" for name in [*spec.parameters, "trial_dir", "number", "seed"]}
        for item in self.command.items:
            if not self.command.as_wandb and any(macro in item for macro in of_trial):
                return
            for word in Command((item,), self.command.as_wandb).arguments({}, facts):
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
        facts = Facts(
            interpreter=self.interpreter(),
            program=self.program,
            args_json_file=str(_args_file(directory)),
            variables=self.environment(),
            trial_dir=str(directory),
            number=number,
            seed=seed,
        )
        return self.command.arguments(self.prepare(params), facts)

    def environment(self) -> dict[str, str]:
        """What the script inherits, without what differs between trials."""
        variables = {**os.environ, **self.variables}
        # So that `python`, and tools such as torchrun, are those of the environment that runs the sweep, even
        # if nobody has activated it.
        path = variables.get("PATH", os.defpath)
        here = str(Path(sys.executable).parent)
        found = shutil.which("python", path=path)
        if found is None or str(Path(found).parent) != here:
            variables["PATH"] = f"{here}{os.pathsep}{path}"
        return variables

    def interpreter(self) -> str:
        """What `${interpreter}` stands for.

        To W&B it is the word `python`, which people know from their logs and process lists; `environment`
        sees to it that this is the Python that runs the sweep. Not every environment has one of that name.
        """
        if self.command.as_wandb and (Path(sys.executable).parent / "python").exists():
            return "python"
        return sys.executable

    def _run(self, trial: Trial) -> dict[str, float] | None:
        arguments = self.arguments(trial.params, trial.directory, trial.number, trial.seed)
        params = self.prepare(trial.params)
        if self.command.uses("args_json_file"):
            _args_file(trial.directory).write_text(json.dumps(params))
        runs = OfflineRuns(trial.directory)
        write_parameters(trial.directory, params)
        variables = {
            # A script whose lines arrive when its buffer is full would be pruned too late.
            "PYTHONUNBUFFERED": "1",
            **self.environment(),
        }
        wandb = wandb_variables(trial.directory, trial.seed)
        variables.update({name: value for name, value in wandb.items() if name not in self.variables})
        variables.pop("WANDB_SERVICE", None)  # that of a run around the sweep, if there is one
        variables[processes.TRIAL_DIRECTORY] = str(trial.directory)
        _Script(trial, self.metric, runs, arguments, variables, self.is_attached).run()
        return {EXIT_STATUS: 0.0} if self.metric == EXIT_STATUS else None


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


class _Script:
    """One run of a script for a trial.

    Args:
        trial: the trial.
        metric: the name of what the sweep optimises.
        runs: where it may log by means of W&B's package.
        arguments: what to run.
        variables: its environment.
        is_attached: whether it may read from the terminal, and gets its Ctrl-C.
    """

    def __init__(
        self,
        trial: Trial,
        metric: str,
        runs: OfflineRuns,
        arguments: list[str],
        variables: Mapping[str, str],
        is_attached: bool = False,
    ) -> None:
        self._trial = trial
        self._metric = metric
        self._runs = runs
        self._next_look = 0.0
        self._names: dict[str, None] = {}
        self._next_step = 0
        try:
            with _held(trial.directory / "output.log") as held:
                self._process = subprocess.Popen(
                    arguments,
                    env=variables,
                    # A worker's own is the sweep's fence. A terminal belongs to the process in front of it:
                    # whoever reads from it out of a session of its own gets an error.
                    stdin=None if held or is_attached else subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    start_new_session=not is_attached,
                    pass_fds=held,
                )
        except OSError as error:
            raise ScriptError(f"{arguments[0]} cannot be run: {error.strerror}") from None
        except IndexError:
            raise ScriptError("the command is empty") from None
        self._output = _Output(self._process)

    def run(self) -> None:
        """Wait for its end, and hand on what it reports meanwhile.

        Raises:
            optuna.TrialPruned: it has been stopped because it was not good enough.
            ScriptError: it failed, or never reported the metric.
        """
        try:
            while True:
                has_ended = self._process.poll() is not None
                if self._log(self._output.take(_LOOK_EVERY)) and not has_ended and self._trial.should_prune():
                    from optuna import TrialPruned

                    raise TrialPruned
                if has_ended:
                    break
                if self._output.is_at_end:
                    with suppress(subprocess.TimeoutExpired):
                        self._process.wait(_LOOK_EVERY)
        finally:
            self._end()
        self._next_look = 0.0
        self._log(self._output.take(0))
        self._log(self._runs.summary())
        self._check()

    def _log(self, records: list[Record]) -> bool:
        """Hand records on; says whether the metric was among them."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_AT_WANDB_EVERY
            records = [*records, *self._runs.read()]
        if self._output.error is not None:
            raise self._output.error
        for record in records:
            step = self._next_step if record.step is None else record.step
            self._next_step = max(self._next_step, step + 1)
            self._names.update(dict.fromkeys(record.values))
            self._trial.log(record.values, step)
        return any(self._metric in record.values for record in records)

    def _end(self) -> None:
        """Have the script and all that it has started end, and see to the last of its output."""
        try:
            if self._process.poll() is None:
                self._signal_group(signal.SIGTERM)
                processes.end(self._family(), grace=_GRACE)
        finally:  # also if somebody presses Ctrl-C again
            if self._process.poll() is None:
                self._signal_group(signal.SIGKILL)
                processes.end(self._family())
                self._process.wait()
            processes.end(self._family(), grace=_GRACE_FOR_REST)
            self._output.finish()

    def _family(self) -> list[psutil.Process]:
        found = processes.find([self._trial.directory])
        with suppress(psutil.Error):
            leader = psutil.Process(self._process.pid)
            if leader.ppid() == os.getpid():  # otherwise it has ended, and its number is another one's
                found += [leader, *leader.children(recursive=True)]
        return list(dict.fromkeys(found))

    def _signal_group(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _check(self) -> None:
        status = self._process.returncode
        last = self._output.last_line
        story = "\n".join(self._output.tail)
        if status < 0:
            with suppress(ValueError):
                raise ScriptCrash(f"killed by {signal.Signals(-status).name}", last, story)
            raise ScriptCrash(f"killed by signal {-status}", last, story)
        if status > 0:
            raise ScriptError(f"exit status {status}", last, story)
        if self._metric not in self._names and self._metric != EXIT_STATUS:
            raise ScriptError(_never_reported(self._metric, list(self._names)), story=story)


def _never_reported(metric: str, names: list[str]) -> str:
    text = f"the script never reported {metric!r}; "
    if not names:
        return text + f'it reported nothing: have it print lines such as {{"step": 1, "{metric}": 0.5}}'
    near = nearest(metric, names)
    if near is None:
        return text + f"it reported {', '.join(map(_shown, names))}"
    return text + f"it reported {_shown(near)}: did you mean it?"


def _shown(name: str) -> str:
    """A name as it is, in quotes if one could not see where it ends."""
    return name if name == name.strip() and name else repr(name)


class _held:
    """The descriptor of a trial's output, if this process prints into it.

    All that a trial starts shall have it: it is locked, so that no other attempt begins beside them, and it
    is how they are found.
    """

    def __init__(self, output: Path) -> None:
        self._output = output
        self._descriptors: tuple[int, ...] = ()

    def __enter__(self) -> tuple[int, ...]:
        with suppress(OSError):
            if os.path.samestat(os.fstat(1), self._output.stat()):
                self._descriptors = (os.dup(1),)
        return self._descriptors

    def __exit__(self, *error: object) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)


class _Output:
    """What a script prints: goes where this process prints, and metrics are picked out of it.

    By a thread of its own, so that the script never has to wait for the sweep.

    Args:
        process: the script.

    Attributes:
        error: why its output cannot be written, if so.
        is_at_end: whether there will be no more.
        last_line: the last line that is not empty.
        tail: the last lines.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self._pipes = process.stdout, process.stderr
        self._lines = _Lines(), _Lines()
        self._targets = sys.stdout.buffer, sys.stderr.buffer
        self._records: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._give_up_at = float("inf")
        self.error: Exception | None = None
        self.is_at_end = False
        self.last_line = ""
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self._thread = threading.Thread(target=self._copy_all, name="sweep-output", daemon=True)
        self._thread.start()

    def take(self, patience: float) -> list[Record]:
        """The metrics that have come; waits a moment for the first ones."""
        found: list[Record] = []
        with suppress(queue.Empty):
            if not self.is_at_end and patience > 0 and (first := self._records.get(timeout=patience)):
                found.append(first)
            while True:
                if record := self._records.get_nowait():
                    found.append(record)
        return found

    def finish(self) -> None:
        """The script has ended: take what is left in the pipes, even if something keeps them open."""
        self._give_up_at = time.monotonic()
        self._thread.join(_GRACE)
        for pipe in self._pipes:
            pipe.close()

    def _copy_all(self) -> None:
        try:
            self._copy()
        finally:
            for lines, is_stdout in zip(self._lines, (True, False), strict=True):
                for line in lines.rest():
                    self._see(line, is_stdout)
            self.is_at_end = True
            self._records.put(None)  # wakes up who waits

    def _copy(self) -> None:
        with selectors.DefaultSelector() as selector:
            for index, pipe in enumerate(self._pipes):
                selector.register(pipe, selectors.EVENT_READ, index)
            while selector.get_map():
                ready = sorted(selector.select(_LOOK_EVERY / 2), key=lambda event: event[0].data)
                now = time.monotonic()
                if now >= self._give_up_at + (_GRACE / 2 if ready else 0):
                    return
                # What came first on the way out is stdout, as a rule: the reason of an end stands on stderr.
                for key, _ in ready:
                    data = os.read(key.fd, 1 << 16)
                    if not data:
                        selector.unregister(key.fileobj)
                        continue
                    self._write(key.data, data)
                    for line in self._lines[key.data].feed(data):
                        self._see(line, is_stdout=key.data == 0)

    def _write(self, index: int, data: bytes) -> None:
        try:
            self._targets[index].write(data)
            self._targets[index].flush()
        except (OSError, ValueError) as error:  # the disk is full, or the terminal has gone
            self.error = self.error or error

    def _see(self, line: bytes, is_stdout: bool) -> None:
        text = line.decode("utf-8", "replace").strip()
        if text:
            self.last_line = text
            self.tail.append(text)
        if is_stdout and (record := read_line(text)) is not None:
            self._records.put(record)


class _Lines:
    """Cuts a stream into lines. One that is too long for a line is left out."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._skips = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that end in `data`."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._pending += line
            if not self._skips:
                yield self._line()
            self._pending.clear()
            self._skips = False
        self._pending += rest
        if len(self._pending) > _LONGEST_LINE:
            # A progress bar is one line for ever, of which the last part counts.
            last = self._pending.rpartition(b"\r")[2]
            self._skips = len(last) > _LONGEST_LINE
            self._pending = bytearray() if self._skips else bytearray(last)

    def rest(self) -> Iterator[bytes]:
        """The last line, if nothing ends it."""
        if self._pending and not self._skips:
            yield self._line()

    def _line(self) -> bytes:
        return bytes(self._pending.rstrip(b"\r").rpartition(b"\r")[2])


def read_line(text: str) -> Record | None:
    """The metrics of a line of output: a JSON object with at least one number, besides its step."""
    if not text.startswith("{") or not text.endswith("}"):
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    step = None
    for name in _STEP_NAMES:
        found = data.pop(name, None)
        if step is None and _is_number(found) and 0 <= found < STEPS and found == int(found):
            step = int(found)
    values = {
        name.encode("utf-8", "replace").decode(): float(value)  # JSON can name half a letter
        for name, value in data.items()
        if _is_number(value)
    }
    return Record(step, values) if values else None


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    with suppress(OverflowError):
        float(value)
        return True
    return False
