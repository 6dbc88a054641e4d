"""The user's code on the machines of a cluster: in the user's folder, or in a copy that Ray sends there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.engine.attempt import AttemptSettings
from sweep.errors import EntryError, suggestion
from sweep.objective.digest import digest
from sweep.objective.function import FunctionReference
from sweep.objective.pickled_function import PickledFunction
from sweep.script.reference import ScriptReference
from sweep.system.libraries import hides_this_package

if TYPE_CHECKING:  # workers import this module, and have no need of pydantic and Optuna
    from sweep.engine.base import PreparedSweep
    from sweep.engine.observer import Observer

_MOST_NAMED = 3
"""How many entries of a folder that is too large are named."""


class CodeMissing(Exception):
    """A worker's machine does not have the user's folder, and no copy has been sent."""


@dataclass(frozen=True)
class SentFolder:
    """A folder of which Ray sends workers a copy, which is their working directory when they start.

    Args:
        root: its path on the machine of `sweep run`.
        is_preferred: whether workers use the copy although their machine has the folder.
    """

    root: Path
    is_preferred: bool


def locate_code(settings: AttemptSettings, is_shared: bool, sent: SentFolder | None) -> AttemptSettings:
    """The settings with the paths that the user's code has on this machine.

    Args:
        settings: the settings with the paths on the machine of `sweep run`.
        is_shared: whether this machine has the sweep's directory, and so the same file system.
        sent: the folder of which this worker has a copy; None if it has none.

    Raises:
        CodeMissing: this machine does not have the folder, and the worker has no copy.
    """
    if not (sent is not None and sent.is_preferred) and _has_code(settings, is_shared):
        return settings
    if sent is None:
        raise CodeMissing(str(settings.trial_directory))
    copy = Path.cwd()
    if not settings.trial_directory.is_relative_to(sent.root):  # the user has chosen the folder
        settings = replace(settings, trial_directory=sent.root)
    return settings.moved(sent.root, copy)


def _has_code(settings: AttemptSettings, is_shared: bool) -> bool:
    """Whether this machine has the user's folder with the same code as the machine of `sweep run`."""
    if not settings.trial_directory.is_dir():
        return False
    if is_shared:
        file = None if isinstance(settings.objective, PickledFunction) else settings.objective.file
        return not settings.code or (file is not None and file.is_file())
    return settings.code in ("", digest(settings.objective))


class UserCode:
    """Sends the user's folder to workers once a machine does not have it.

    Args:
        sweep: the sweep.
        observer: is notified when the folder is sent.

    Attributes:
        sent: the folder of which workers that start now get a copy; None as long as all machines have it.
    """

    def __init__(self, sweep: PreparedSweep, observer: Observer) -> None:
        self._sweep = sweep
        self._observer = observer
        given = dict(sweep.spec.runtime_env)
        self._excludes = given.pop("excludes", [])
        self._given_folder = given.pop("working_dir", None)
        self._runtime_env = given
        self._uri = ""
        self.sent: SentFolder | None = None
        if self._given_folder is not None:
            self._send_given()

    def options(self) -> dict[str, Any]:
        """Options of workers that start now."""
        from sweep.engine.ray import private_packages

        runtime_env = dict(self._runtime_env)
        if self._uri:
            runtime_env["working_dir"] = self._uri
            if self.sent is not None and self._uri.startswith("gcs://"):
                private_packages.upload(self._uri, self.sent.root, self._all_excludes(self.sent.root))
        return {"runtime_env": runtime_env} if runtime_env else {}

    def send(self) -> None:
        """From now on, workers that start get a copy of the user's folder.

        Raises:
            EntryError: it is too large, or does not contain the objective.
        """
        if self.sent is None:
            self._send(SentFolder(self._root(), is_preferred=False))

    def _send_given(self) -> None:
        if "://" in self._given_folder:  # Ray downloads it
            self.sent = SentFolder(self._sweep.trial_directory, is_preferred=True)
            self._uri = self._given_folder
            return
        root = Path(self._given_folder).expanduser().resolve()
        if (file := self._objective_file()) is not None and not file.is_relative_to(root):
            raise EntryError("runtime_env.working_dir", f"{root} does not contain the objective, {file}")
        self._send(SentFolder(root, is_preferred=True))

    def _send(self, sent: SentFolder) -> None:
        from sweep.engine.ray import private_packages

        root = sent.root
        if hides_this_package(str(root)):
            raise EntryError(
                "runtime_env",
                f"{root} has another module called sweep, which workers would import instead of this "
                "package; rename it",
            )
        excludes = self._all_excludes(root)
        sizes = private_packages.sizes(root, excludes)
        if sum(sizes.values()) > private_packages.LARGEST:
            raise EntryError("runtime_env", _too_large(root, sizes, private_packages.LARGEST))
        receivers = "all workers" if sent.is_preferred else "machines that do not have this folder"
        self._observer.on_note(f"{root} ({_size(sum(sizes.values()))}) is sent to {receivers}")
        self._uri = private_packages.uri(root, excludes)
        self.sent = sent

    def _all_excludes(self, root: Path) -> list[str]:
        """What is not sent, as patterns of `.gitignore`: the folders with sweep directories, too."""
        excludes = [*self._excludes, ".git", ".venv"]
        folders = {
            self._sweep.directory.root.parent,
            *(file.parents[1] for file in root.glob("*/*/sweep.yaml")),
        }
        inside = [folder.relative_to(root) for folder in folders if folder.is_relative_to(root)]
        return [*excludes, *sorted(f"/{folder}" for folder in inside if folder.parts)]

    def _root(self) -> Path:
        """The folder to send: that of the trials, or that of `sweep run` if only the latter has all code."""
        sweep = self._sweep
        file = self._objective_file()
        needed = [sweep.trial_directory, *([] if file is None else [file])]
        for folder in (sweep.trial_directory, sweep.working_directory):
            if all(path.is_relative_to(folder) for path in needed):
                return folder
        raise EntryError(
            "runtime_env",
            f"a machine of the cluster does not have {file}, which is not in {sweep.working_directory}, the "
            "folder that would be sent; start the sweep in a folder that contains it",
        )

    def _objective_file(self) -> Path | None:
        """The file that the sweep file names; None if it names a module, which can be installed."""
        objective = self._sweep.objective
        if isinstance(objective, FunctionReference):
            return None if objective.source is None else Path(objective.source)
        return objective.file if isinstance(objective, ScriptReference) else None


def check_runtime_env(runtime_env: dict[str, Any]) -> None:
    """Check the sweep file's `runtime_env`.

    Raises:
        EntryError: Ray rejects it.
    """
    if not runtime_env:
        return
    from ray.runtime_env import RuntimeEnv

    for key in runtime_env:
        if key not in RuntimeEnv.known_fields:
            raise EntryError(
                f"runtime_env.{key}", f"is unknown to Ray; {suggestion(key, RuntimeEnv.known_fields)}"
            )
    try:
        RuntimeEnv(**runtime_env)
    except (TypeError, ValueError) as error:
        raise EntryError("runtime_env", " ".join(str(error).split())) from None
    folder = runtime_env.get("working_dir", ".")
    if "://" not in folder and not Path(folder).expanduser().is_dir():
        raise EntryError("runtime_env.working_dir", f"{folder} is not a folder, and not a URI")
    if any("://" not in module for module in runtime_env.get("py_modules", ())):
        raise EntryError(
            "runtime_env.py_modules",
            "Ray takes only URIs for the workers of a sweep; put local modules into the objective's folder",
        )


def _too_large(root: Path, sizes: dict[str, int], limit: int) -> str:
    largest: list[str] = []
    for name in sorted(sizes, key=lambda name: -sizes[name])[:_MOST_NAMED]:
        if sum(sizes.values()) - sum(sizes[named] for named in largest) > limit:
            largest.append(name)
    named = ", ".join(f"{name} ({_size(sizes[name])})" for name in largest)
    return (
        f"{root} has {_size(sum(sizes.values()))}, and at most {_size(limit)} can be sent to machines that "
        f"do not have this folder; largest: {named}; leave out what trials do not need, with "
        f"runtime_env: {{excludes: [{_patterns(largest)}]}} or in a .gitignore"
    )


def _patterns(names: Iterable[str]) -> str:
    return ", ".join(f"/{name}" for name in names)


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MB" if count < 2**30 else f"{count / 2**30:.1f} GB"
