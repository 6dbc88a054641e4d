"""Keeps files of the user's folder from replacing the libraries that this package imports.

Imported by `import sweep`, before anything that a file in the user's folder could replace.
"""

from __future__ import annotations

import os
import sys
import threading
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would slow down `import sweep`
    from types import ModuleType
    from typing import Any

_THIS_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_STANDARD_LIBRARY = os.path.dirname(os.path.abspath(os.__file__))
_IMPORTING = threading.RLock()
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def is_library(path: str) -> bool:
    """Whether a file or folder belongs to Python, to an installed library, or to this package."""
    path += os.sep
    own = (_STANDARD_LIBRARY + os.sep, _THIS_PACKAGE + os.sep, "<frozen ")
    return path.startswith(own) or any(part in path for part in _INSTALLED)


def find_library(name: str) -> ModuleSpec | None:
    """Find a top-level module that is installed, or part of Python; None if there is none."""
    parent = os.path.dirname(_THIS_PACKAGE)
    spec = PathFinder.find_spec(name, [entry for entry in sys.path if entry == parent or is_library(entry)])
    return None if spec is None or spec.loader is None else spec  # not a folder without __init__.py


def hides_this_package(folder: str) -> bool:
    """Whether `import sweep` would import another module if `folder` came first on `sys.path`."""
    spec = PathFinder.find_spec("sweep", [folder])
    if spec is None or spec.loader is None or spec.origin is None:
        return False
    return os.path.realpath(os.path.dirname(spec.origin)) != os.path.realpath(_THIS_PACKAGE)


class LibrariesFirst:
    """An import finder that looks for libraries first if this package is what needs them.

    A folder with a `statistics.py` or an `optuna.py` comes first on `sys.path` while the user's code runs, as
    for `python train.py`, and first in the process of a user's script. What the user's code imports, directly
    or through a library, follows that order.
    """

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if path is not None or not _is_for_this_package():  # a submodule is where its package is
            return None
        return find_library(name)


def own_process(module: str) -> list[str]:
    """The command of a Python process that calls the function `main` of a module of this package.

    Arguments can follow. A file in the working directory does not replace a library there.
    """
    path = f"[*filter(None, sys.path), {os.path.dirname(_THIS_PACKAGE)!r}]"
    return [sys.executable, "-c", f"import sys; sys.path[:] = {path}; from {module} import main; main()"]


def import_own(name: str) -> ModuleType:
    """Import a module of this package, with libraries in the place of files that the caller has imported.

    A script next to a `statistics.py` that imports it keeps its module; so does this package.
    """
    with _IMPORTING:  # a module that another thread is importing is in `sys.modules`, too
        if name in sys.modules:
            return sys.modules[name]
        aside = {
            key: module
            for key, module in list(sys.modules.items())
            if not is_library(getattr(module, "__file__", None) or _STANDARD_LIBRARY)
            and find_library(key.partition(".")[0]) is not None
        }
        for key in aside:
            del sys.modules[key]
        try:
            return import_module(name)
        finally:
            sys.modules.update(aside)


def import_as_user(name: str) -> ModuleType:
    """Import a module in the order in which the user's code finds it."""
    return import_module(name)


def _is_for_this_package() -> bool:
    """Whether the innermost caller of the running import that is not a library is this package."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if frame.f_code is import_as_user.__code__ or not is_library(file):
            return False
        if file.startswith(_THIS_PACKAGE + os.sep):
            return True
        frame = frame.f_back
    return False


def install() -> None:
    """Install the import finder."""
    if LibrariesFirst not in sys.meta_path:
        sys.meta_path.insert(0, LibrariesFirst)
