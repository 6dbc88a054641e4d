"""What an objective sees of its process: what `python train.py` without arguments would show it."""

from __future__ import annotations

import ast
import multiprocessing  # noqa: F401 - its import sets sys.modules["__mp_main__"], once
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

from sweep.system.importing import program_without_arguments, searched_first
from sweep.system.libraries import find_library

CHILDREN_MAIN = "__mp_main__"
"""The name under which `multiprocessing` imports the main file in a child process that it spawns. Objects are
pickled by the name of their module, so a module of this name can be pickled whatever its file is called."""

SHARED = frozenset(("sweep", "optuna", "ray", "tensorboardX", "numpy", "torch", *sys.builtin_module_names))
"""Modules of which there is one in a process, because this package uses them while the user's code runs."""
_LOADED_BY_PYTHON = frozenset(("abc", "codecs", "encodings", "io", "os", "posixpath", "site", "stat"))
"""Modules that Python loads before it runs `train.py`: no file next to it replaces them."""


class UserProcess:
    """The state of this process while the user's code is imported or run.

    Args:
        program: `sys.argv[0]`. There are no further arguments.
        folders: what comes first on `sys.path`.
        main: the module `__main__`; None to keep that of this process. Its `__file__` is what spawned child
            processes import.
        modules: names of modules that the user's code imports anew, because this process has other modules of
            these names. Outside the user's code, this process keeps its own.
    """

    def __init__(
        self,
        program: str,
        folders: Sequence[str] = (),
        main: ModuleType | None = None,
        modules: Sequence[str] = (),
    ) -> None:
        self._program = program
        self._folders = folders
        self._user_modules = {} if main is None else {"__main__": main, CHILDREN_MAIN: main}
        self._names = {*modules, *self._user_modules}

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Set `sys.argv`, `sys.path`, `__main__` and the user's modules, and restore them after the block."""
        own_modules = _remove_modules(self._names)
        try:
            sys.modules.update(self._user_modules)
            with searched_first(self._folders), program_without_arguments(self._program):
                yield
        finally:
            self._user_modules = _remove_modules(self._names)
            sys.modules.update(own_modules)


def _remove_modules(names: set[str]) -> dict[str, ModuleType]:
    """Remove modules with their submodules from `sys.modules`, and return them."""
    found = [name for name in names if name in sys.modules]
    if any(
        "__path__" in getattr(sys.modules[name], "__dict__", ()) for name in found
    ):  # only packages have submodules
        found = [name for name in sys.modules if name in names or name.partition(".")[0] in names]
    return {name: sys.modules.pop(name) for name in found}


def replaced_libraries(module: str, file: Path | None, folders: Sequence[str]) -> list[str]:
    """The names of libraries that the user's code replaces: a file of that name is in one of its folders, and
    the code imports it.

    This process may have imported the library already; the user's code gets its own file nevertheless.

    Args:
        module: the module with which the user's code begins.
        file: its file, if there is one. Files of the folders that it imports are read too.
        folders: the folders.
    """
    found = {name for folder in folders for name in _top_level_modules(Path(folder))}
    candidates = {name for name in found - SHARED - _LOADED_BY_PYTHON if find_library(name) is not None}
    if not candidates:
        return []
    imported = {module}
    files = [] if file is None else [file]
    for current in files:  # the list grows meanwhile
        for name in _imported_names(current) - imported:
            imported.add(name)
            files += [path for path in _files_of(name, folders) if path not in files]
    return sorted(candidates & {name.split(".")[0] for name in imported})


def _files_of(name: str, folders: Sequence[str]) -> Iterator[Path]:
    """The files in some folders that the import of a dotted name can execute."""
    parts = name.split(".")
    for folder in folders:
        for count in range(1, len(parts) + 1):
            path = Path(folder, *parts[:count])
            yield from filter(Path.is_file, (path.with_name(path.name + ".py"), path / "__init__.py"))


def _top_level_modules(folder: Path) -> Iterator[str]:
    with suppress(OSError):
        yield from (path.stem for path in folder.iterdir() if is_module(path.with_suffix("")))


def is_module(path: Path) -> bool:
    """Whether there is a module or a package, with `__init__.py`, of this path without its suffix."""
    return path.with_name(path.name + ".py").is_file() or (path / "__init__.py").is_file()


def _imported_names(file: Path) -> set[str]:
    """The dotted names of modules, and of what is imported from them, in the source of a file."""
    with suppress(OSError, ValueError, SyntaxError, RecursionError, MemoryError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about invalid escapes in the user's strings
        names: set[str] = set()
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.update(f"{node.module}.{alias.name}" for alias in node.names)
        return names
    return set()
