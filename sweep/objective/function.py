"""An objective that is a function: `train.py:train` or `package.module:train`."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from sweep.errors import EntryError, suggestion
from sweep.objective.source.callables import bindings_of, why_no_objective
from sweep.sweepfile.files import find_file
from sweep.system.importing import add_cwd_to_path
from sweep.trial.trial import Objective

_GIVEN = (
    "is a function that a script or a notebook gave to sweep.run, and can be had only there: to go on with "
    "its sweep, make the same call again, with a larger n_trials. To debug it, if a file defines it, and "
    "calls sweep.run under if __name__ == '__main__' only, add --set objective=tune.py:train; "
    "from Python, sweep.run(train, enqueue=[params], n_trials=1, inline=True) runs it once"
)


@dataclass(frozen=True)
class FunctionReference:
    """Where a function is, found without running its module, so that a worker can load it.

    Args:
        source: the absolute path of a Python file, or None for an importable module.
        module: the module's name.
        function: the name in it, dots allowed.
    """

    source: str | None
    module: str
    function: str

    @classmethod
    def find(cls, text: str, near: Path) -> FunctionReference:
        """Find what a sweep file's `objective` names.

        Args:
            text: `file.py:function` or `module:function`.
            near: the sweep file's directory, where a relative file is looked for after the current one.

        Raises:
            EntryError: it has not that form, or there is no such file or function.
        """
        place, colon, function = text.rpartition(":")
        if place == "__main__" or "<" in function:
            raise EntryError("objective", f"{text!r} {_GIVEN}")
        if not colon or not place or not all(part.isidentifier() for part in function.split(".")):
            raise EntryError(
                "objective", f"{text!r} names no function; write file.py:function or package.module:function"
            )
        if "/" in place and not place.endswith(".py"):
            place += ".py"
        if place.endswith(".py"):
            path = find_file("objective", place, [Path(), near], "*.py")
            _check_defined(path, function, text)
            return cls(str(path), path.stem, function)
        return cls._find_module(place, function, text)

    @classmethod
    def _find_module(cls, module: str, function: str, text: str) -> FunctionReference:
        add_cwd_to_path()
        try:
            found = importlib.util.find_spec(module)
        except Exception:  # noqa: BLE001 - it imports the packages above, which may raise anything
            found = None
        if found is None:
            raise EntryError(
                "objective",
                f"{text!r}: there is no module {module!r}; for a file write {module}.py:{function}",
            )
        if found.origin is not None and found.origin.endswith(".py"):
            _check_defined(Path(found.origin), function, text)
        return cls(None, module, function)

    def load(self) -> Objective:
        """Import the module and return the function. Whatever the user's code raises comes through."""
        target: Any = self._import()
        for part in self.function.split("."):
            target = getattr(target, part)
        if not callable(target):
            raise TypeError(f"{self.function} in {self.source or self.module} is no function")
        return target  # type: ignore[no-any-return]

    def _import(self) -> ModuleType:
        if self.source is None:
            add_cwd_to_path()
            return importlib.import_module(self.module)
        directory = str(Path(self.source).parent)
        if directory not in sys.path:
            sys.path.insert(0, directory)  # as `python file.py` would: its neighbours can be imported
        name = self.module if self.module not in sys.modules else f"{self.module}_objective"
        spec = importlib.util.spec_from_file_location(name, self.source)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module


def _check_defined(path: Path, function: str, text: str) -> None:
    """See that a file defines a name, and nothing that no trial can be given to, without running it: that may
    take seconds and have effects."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except SyntaxError as error:
        raise EntryError("objective", f"{text!r}: {path}:{error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise EntryError("objective", f"{text!r}: {path} is no Python: {error}") from None
    bindings = bindings_of(tree)
    wanted = function.split(".")[0]
    if not bindings.keys() & {wanted, "*", "__getattr__"}:  # `from x import *` may bring it
        functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        hint = suggestion(wanted, functions) if functions else "it defines no function"
        raise EntryError("objective", f"{text!r}: {path.name} has no {wanted!r}; {hint}")
    if wanted == function and (why := why_no_objective(wanted, bindings)) is not None:
        raise EntryError("objective", f"{text!r}: {why}")
