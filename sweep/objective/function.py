"""An objective that is a function: `train.py:train` or `package.module:train`."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from sweep.errors import EntryError, InputError, suggestion
from sweep.objective.callables import bindings_of, why_no_objective
from sweep.sweepfile.files import find_file
from sweep.system.importing import add_cwd_to_path
from sweep.trial.trial import Objective

_PASSED_TO_RUN = (
    "is a function that a script or a notebook passed to sweep.run and cannot be loaded elsewhere: to resume "
    "its sweep, make the same call again, with a larger n_trials. To debug it, add "
    "--set objective=tune.py:train if a file defines it and calls sweep.run only under "
    "if __name__ == '__main__'; in Python, sweep.run(train, enqueue=[params], n_trials=1, inline=True) "
    "runs it once"
)


@dataclass(frozen=True)
class FunctionReference:
    """The location of a function, from which a worker can load it.

    Args:
        source: the absolute path of a Python file, or None for an importable module.
        module: the name of the module.
        function: the name in the module; dots are allowed.
    """

    source: str | None
    module: str
    function: str

    @classmethod
    def find(cls, text: str, near: Path) -> FunctionReference:
        """Find the function that a sweep file's `objective` names, without running its module.

        Args:
            text: `file.py:function` or `module:function`.
            near: the sweep file's directory, searched for a relative file after the current directory.

        Raises:
            EntryError: `text` does not have this form, or there is no such file or function.
        """
        location, colon, function = text.rpartition(":")
        if location == "__main__" or "<" in function:
            raise EntryError("objective", f"{text!r} {_PASSED_TO_RUN}")
        if not colon or not location or not all(part.isidentifier() for part in function.split(".")):
            raise EntryError(
                "objective",
                f"{text!r} does not name a function; write file.py:function or package.module:function",
            )
        if "/" in location and not location.endswith(".py"):
            location += ".py"
        if location.endswith(".py"):
            path = find_file("objective", location, [Path(), near], "*.py")
            _check_defined(path, function, text)
            return cls(str(path), path.stem, function)
        return cls._find_module(location, function, text)

    @classmethod
    def _find_module(cls, module: str, function: str, text: str) -> FunctionReference:
        add_cwd_to_path()
        try:
            module_spec = importlib.util.find_spec(module)
        except Exception:  # noqa: BLE001 - it imports the parent packages, which can raise anything
            module_spec = None
        if module_spec is None:
            raise EntryError(
                "objective",
                f"{text!r}: there is no module {module!r}; for a file write {module}.py:{function}",
            )
        if module_spec.origin is not None and module_spec.origin.endswith(".py"):
            _check_defined(Path(module_spec.origin), function, text)
        return cls(None, module, function)

    @property
    def file(self) -> Path | None:
        """The file that defines the function; None without a file, as for a built-in module."""
        spec = None if self.source else importlib.util.find_spec(self.module)
        path = Path(self.source or (spec.origin if spec is not None else None) or "")
        return path if path.is_file() else None

    def load(self) -> Objective:
        """Import the module and return the function. Exceptions of the user's code are not caught."""
        target: Any = self._import()
        for part in self.function.split("."):
            target = getattr(target, part)
        if not callable(target):
            raise TypeError(f"{self.function} in {self.source or self.module} is not a function")
        return target  # type: ignore[no-any-return]

    def _import(self) -> ModuleType:
        if self.source is None:
            add_cwd_to_path()
            return importlib.import_module(self.module)
        directory = str(Path(self.source).parent)
        if directory not in sys.path:
            sys.path.insert(0, directory)  # as `python file.py` does, so that it can import files next to it
        name = self.module if self.module not in sys.modules else f"{self.module}_objective"
        spec = importlib.util.spec_from_file_location(name, self.source)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module


def parse_module(path: Path) -> ast.Module:
    """The syntax tree of a Python file.

    Raises:
        InputError: it cannot be read, or is not Python.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes in the user's strings
            return ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        where = f"{path}:{error.lineno}" if error.lineno else str(path)
        raise InputError(f"{where}: is not Python: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{path}: is not Python: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def _check_defined(path: Path, function: str, text: str) -> None:
    """Check that a file defines a name that can be called with a trial. The file is not run: that can take
    seconds and have effects.

    Raises:
        EntryError: the file does not define it, or it takes other arguments.
    """
    try:
        tree = parse_module(path)
    except InputError as error:
        raise EntryError("objective", f"{text!r}: {error}") from None
    bindings = bindings_of(tree)
    name = function.split(".")[0]
    if not bindings.keys() & {name, "*", "__getattr__"}:  # `from x import *` can bind it
        functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        hint = suggestion(name, functions) if functions else "it defines no function"
        raise EntryError("objective", f"{text!r}: {path.name} has no {name!r}; {hint}")
    if name == function and (why := why_no_objective(name, bindings)) is not None:
        raise EntryError("objective", f"{text!r}: {why}")
