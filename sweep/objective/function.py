"""An objective that is a function: `train.py:train` or `package.module:train`."""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from sweep.errors import EntryError, InputError, suggestion
from sweep.objective.callables import bindings_of, why_no_objective
from sweep.objective.user_process import (
    CHILDREN_MAIN,
    SHARED,
    UserProcess,
    is_module,
    replaced_libraries,
)
from sweep.sweepfile.files import find_file
from sweep.system.importing import find_module, searched_first
from sweep.system.libraries import find_library, import_as_user
from sweep.system.paths import moved
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
        folders: the folders that come first on `sys.path`, absolute: the file's own, as for `python file.py`,
            or the current one, as for `python -m module`.
    """

    source: str | None
    module: str
    function: str
    folders: tuple[str, ...]

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
        if not location.endswith(".py"):
            return cls._find_module(location, function, text)
        path = find_file("objective", location, [Path(), near], "*.py")
        level = _relative_level(_check_defined(path, function, text))
        if level:
            return cls._in_package(path, level, function, text)
        return cls(str(path), path.stem, function, (str(path.parent),))

    @classmethod
    def _find_module(cls, module: str, function: str, text: str) -> FunctionReference:
        folder, top = os.getcwd(), module.split(".")[0]
        if top in SHARED and is_module(Path(folder, top)):
            raise EntryError(
                "objective",
                f"{text!r}: {top} is the name of a library that the sweep itself uses; rename your {top}, or "
                f"write the file: {module.replace('.', '/')}.py:{function}",
            )
        try:
            module_spec = find_module(module, folder)
        except Exception:  # noqa: BLE001 - it can import the parent packages, which can raise anything
            module_spec = None
        if module_spec is None:
            raise EntryError(
                "objective",
                f"{text!r}: there is no module {module!r}; for a file write {module}.py:{function}",
            )
        if module_spec.origin is not None and module_spec.origin.endswith(".py"):
            _check_defined(Path(module_spec.origin), function, text)
        return cls(None, module, function, (folder,))

    @classmethod
    def _in_package(cls, path: Path, level: int, function: str, text: str) -> FunctionReference:
        """A file with relative imports: a module of the package in which it lies, as for `python -m`."""
        is_package = path.stem == "__init__"
        root = path.parents[min(level, len(path.parents) - 1)]
        while (root / "__init__.py").is_file():
            root = root.parent
        parts = (path.parent if is_package else path.with_suffix("")).relative_to(root).parts
        top = parts[0] if parts else ""
        is_hidden = top in SHARED or (find_library(top) is not None and not is_module(root / top))
        if not parts or is_hidden or any("." in part for part in parts):
            raise EntryError(
                "objective",
                f"{text!r}: {path.name} has relative imports, and its folder {path.parent} cannot be their "
                f"package because of its name; rename it, or write the imports in {path.name} without dots",
            )
        return cls(None, ".".join(parts), function, (str(root), str(path.parent)))

    @property
    def file(self) -> Path | None:
        """The file that defines the function; None without a file, as for a built-in module."""
        spec = None if self.source else find_module(self.module, self.folders[0])
        path = Path(self.source or (spec.origin if spec is not None else None) or "")
        return path if path.is_file() else None

    def moved(self, old: Path, new: Path) -> FunctionReference:
        """The same function in a copy of a folder."""
        source = None if self.source is None else str(moved(Path(self.source), old, new))
        folders = tuple(str(moved(Path(folder), old, new)) for folder in self.folders)
        return replace(self, source=source, folders=folders)

    def user_process(self) -> UserProcess:
        """The process that the function and its module see."""
        main = ModuleType("__main__")
        name = self._import_name()
        if name == CHILDREN_MAIN:
            main.__file__ = self.source
        file = self.file
        replaced = replaced_libraries("" if self.source else self.module, file, self.folders)
        # The file is executed for each sweep, and does not replace a module that the caller has imported.
        modules = [name, *replaced] if self.source else replaced
        return UserProcess(str(file or self.module), self.folders, main, modules)

    def load(self) -> Objective:
        """Import the module and return the function. Exceptions of the user's code are not caught."""
        with searched_first(self.folders):
            target: Any = self._import()
        for part in self.function.split("."):
            target = getattr(target, part)
        if not callable(target):
            raise TypeError(f"{self.function} in {self.source or self.module} is not a function")
        return target  # type: ignore[no-any-return]

    def _import(self) -> ModuleType:
        if self.source is None:
            return import_as_user(self.module)
        name = self._import_name()
        spec = importlib.util.spec_from_file_location(name, self.source)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        if name == CHILDREN_MAIN:  # other children than multiprocessing's do not import it under this name
            for pickler in ("cloudpickle", "ray.cloudpickle", "joblib.externals.cloudpickle"):
                if pickler in sys.modules:
                    sys.modules[pickler].register_pickle_by_value(module)
        return module

    def _import_name(self) -> str:
        """The name of the module of a file: one that its objects can be pickled by, for child processes."""
        library = find_library(self.module)
        is_taken = library is not None and library.origin != self.source
        # The guard of a file `__main__.py` must not hold.
        return CHILDREN_MAIN if "." in self.module or is_taken or self.module == "__main__" else self.module


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


def _relative_level(tree: ast.Module) -> int:
    """The largest number of dots with which a module imports relatively; 0 if it does not."""
    return max((node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)), default=0)


def _check_defined(path: Path, function: str, text: str) -> ast.Module:
    """Check that a file defines a name that can be called with a trial. The file is not run: that can take
    seconds and have effects.

    Returns:
        the file's syntax tree.

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
    return tree
