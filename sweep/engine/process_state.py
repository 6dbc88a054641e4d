"""The global state of a process that a trial can change: a table of how each part is read and restored.

A library's state is restored only if the library is imported. If the trial itself has imported it, the state
becomes what it is after an import, where that is known.
"""

from __future__ import annotations

import decimal  # noqa: F401 - the table reads the modules that are imported, and these are in each process
import faulthandler  # noqa: F401
import gc  # noqa: F401
import locale  # noqa: F401
import logging
import os
import resource
import socket  # noqa: F401
import sys
import tempfile  # noqa: F401
import threading  # noqa: F401
import time
import warnings  # noqa: F401
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from sweep.system.libraries import is_library

_UNKNOWN = object()
"""In place of the value of a module that was not imported."""


@dataclass(frozen=True, eq=False)
class _State:
    """A part of the state.

    Args:
        module: the module that it belongs to, which is passed to the functions.
        read: returns its value.
        restore: sets its value.
        initial: returns its value after an import of the module; None if that is unknown.
        is_compared: whether it is only set if it differs. A generator of random numbers always does.
    """

    module: str
    read: Callable[[Any], Any]
    restore: Callable[[Any, Any], object]
    initial: Callable[[Any], Any] | None = None
    is_compared: bool = True


def _attributes(module: str, *names: str) -> _State:
    def restore(owner: Any, values: list[Any]) -> None:
        for name, value in zip(names, values, strict=True):
            setattr(owner, name, value)

    return _State(module, lambda owner: [getattr(owner, name) for name in names], restore)


def _function_pair(
    module: str, getter: str, setter: str, initial: Any = None, is_compared: bool = True
) -> _State:
    get, set_ = attrgetter(getter), attrgetter(setter)
    known = None if initial is None else lambda owner: initial
    return _State(
        module, lambda owner: get(owner)(), lambda owner, value: set_(owner)(value), known, is_compared
    )


def _torch_flag(path: str, initial: bool) -> _State:
    """An attribute of an object in torch, for example `backends.cudnn.benchmark`."""
    parent, _, name = path.rpartition(".")
    find = attrgetter(parent)
    return _State(
        "torch",
        attrgetter(path),
        lambda owner, value: setattr(find(owner), name, value),
        lambda owner: initial,
    )


_HANDLERS, _FILTERS = attrgetter("handlers"), attrgetter("filters")
_FLAGS = [attrgetter(name) for name in ("level", "propagate", "disabled")]


def _read_loggers(_: Any) -> tuple[list[logging.Logger], list[list[Any]], int]:
    """All loggers; their handlers, filters, levels and flags; the level that is disabled for all.

    torch alone has 90 loggers.
    """
    manager = logging.root.manager
    known = list(manager.loggerDict.values())
    loggers = [logging.root, *(logger for logger in known if not isinstance(logger, logging.PlaceHolder))]
    lists: list[Any] = [list(map(tuple, map(get, loggers))) for get in (_HANDLERS, _FILTERS)]
    return loggers, [*lists, *(list(map(get, loggers)) for get in _FLAGS)], manager.disable


def _restore_loggers(module: Any, saved: tuple[list[logging.Logger], list[list[Any]], int]) -> None:
    """A trial's log file must not receive the messages of later trials."""
    loggers, settings, disabled = saved
    before = dict(zip(loggers, zip(*settings, strict=True), strict=True))
    logging.disable(disabled)
    for logger in _read_loggers(module)[0]:
        handlers, filters, *flags = before.get(logger, ((), (), logging.NOTSET, True, False))
        if logger not in before and _is_of_library(logger.name):
            # The trial has imported it. The library's own settings stay, which are those of its import.
            handlers = [each for each in logger.handlers if not isinstance(each, logging.FileHandler)]
            filters, *flags = logger.filters, *(get(logger) for get in _FLAGS)
        new = [handler for handler in logger.handlers if handler not in handlers]
        logger.handlers[:], logger.filters[:] = handlers, filters
        logger.level, logger.propagate, logger.disabled = flags
        for handler in new:
            handler.close()
    logging.root.setLevel(logging.root.level)  # forgets which messages each logger lets through


def _is_of_library(name: str) -> bool:
    module = sys.modules.get(name.partition(".")[0])
    return module is not None and is_library(getattr(module, "__file__", None) or "")


def _read_umask(_: Any) -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]


def _read_limits(_: Any) -> dict[int, tuple[int, int]]:
    return {number: resource.getrlimit(number) for number in _LIMITS}


def _restore_limits(_: Any, limits: dict[int, tuple[int, int]]) -> None:
    for number, limit in limits.items():
        if resource.getrlimit(number) != limit:
            resource.setrlimit(number, limit)


def _read_environment(_: Any) -> dict[bytes, bytes]:
    # Reading the items would decode each of them, and most attempts change none.
    return dict(os.environ._data)  # type: ignore[attr-defined]


def _restore_environment(_: Any, before: dict[bytes, bytes]) -> None:
    now = _read_environment(_)
    for name in now.keys() - before.keys():
        del os.environb[name]
    for name, value in before.items() - now.items():
        os.environb[name] = value
    time.tzset()


def _restore_argv(_: Any, saved: tuple[list[str], list[str]]) -> None:
    sys.argv, arguments = saved
    sys.argv[:] = arguments


def _restore_warnings(module: Any, saved: tuple[list[Any], list[Any]]) -> None:
    filters, before = saved
    module.filters = filters
    module.resetwarnings()  # also the record of the warnings that have been shown
    module.filters[:] = before


def _restore_gc(module: Any, saved: tuple[bool, Any, int]) -> None:
    is_enabled, threshold, debug = saved
    (module.enable if is_enabled else module.disable)()
    module.set_threshold(*threshold)
    module.set_debug(debug)


def _read_rc(module: Any) -> dict[str, Any]:
    # Reading the backend would choose one, and a process keeps it.
    return {key: dict.__getitem__(module.rcParams, key) for key in module.rcParams if "backend" not in key}


def _restore_device(torch: Any, device: Any) -> None:
    # A default device of "cpu" costs time in each operation, unlike None.
    torch.set_default_device(None if device.type == "cpu" else device)


def _has_group(module: Any) -> bool:
    return bool(module.is_available() and module.is_initialized())


def _impossible(reason: str) -> Callable[[Any, Any], None]:
    def restore(module: Any, value: Any) -> None:
        raise RuntimeError(reason)

    return restore


_NUMPY_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}

_TABLE = (
    _State("os", lambda _: os.getcwd(), lambda _, path: os.chdir(path)),
    _State("os", _read_environment, _restore_environment),
    _State("os", _read_umask, lambda _, mask: os.umask(mask)),
    _State(
        "os", lambda _: os.getpriority(os.PRIO_PROCESS, 0), lambda _, v: os.setpriority(os.PRIO_PROCESS, 0, v)
    ),
    _State("os", lambda _: os.sched_getaffinity(0), lambda _, cores: os.sched_setaffinity(0, cores)),
    _State("resource", _read_limits, _restore_limits),
    _State("sys", lambda _: (sys.argv, list(sys.argv)), _restore_argv),
    _State("sys", lambda _: list(sys.path), lambda _, path: sys.path.__setitem__(slice(None), path)),
    _attributes(
        "sys", "excepthook", "unraisablehook", "displayhook", "breakpointhook", "dont_write_bytecode"
    ),
    _function_pair("sys", "getrecursionlimit", "setrecursionlimit"),
    _function_pair("sys", "getswitchinterval", "setswitchinterval"),
    _function_pair("sys", "gettrace", "settrace"),
    _function_pair("sys", "getprofile", "setprofile"),
    _function_pair("sys", "get_int_max_str_digits", "set_int_max_str_digits"),
    # Training code of several processes replaces `print` in all but one. New names can be those of a library
    # that the trial has imported, which installs them once.
    _State("builtins", lambda module: dict(vars(module)), lambda module, before: vars(module).update(before)),
    _attributes("threading", "excepthook"),
    _function_pair("threading", "gettrace", "settrace"),
    _function_pair("threading", "getprofile", "setprofile"),
    _attributes("tempfile", "tempdir"),
    _attributes("warnings", "showwarning", "formatwarning"),
    _State("warnings", lambda module: (module.filters, list(module.filters)), _restore_warnings),
    _State("locale", lambda module: module.setlocale(module.LC_ALL), lambda m, v: m.setlocale(m.LC_ALL, v)),
    _State("decimal", lambda module: module.getcontext().copy(), lambda m, context: m.setcontext(context)),
    _State(
        "gc", lambda module: (module.isenabled(), module.get_threshold(), module.get_debug()), _restore_gc
    ),
    _function_pair("socket", "getdefaulttimeout", "setdefaulttimeout"),
    _attributes("logging", "raiseExceptions"),
    _attributes("logging", "_warnings_showwarning"),  # set by captureWarnings, which works only if it is None
    _function_pair("logging", "getLogRecordFactory", "setLogRecordFactory"),
    _function_pair("logging", "getLoggerClass", "setLoggerClass"),
    _State("logging", _read_loggers, _restore_loggers),
    _State("faulthandler", lambda m: m.is_enabled(), lambda m, value: (m.enable if value else m.disable)()),
    _State(
        "multiprocessing",
        lambda module: module.get_start_method(allow_none=True),
        lambda module, method: module.set_start_method(method, force=True),
    ),
    _function_pair("random", "getstate", "setstate", is_compared=False),
    _State("numpy", lambda m: m.geterr(), lambda m, value: m.seterr(**value), lambda _: _NUMPY_ERRORS),
    _function_pair("numpy", "geterrcall", "seterrcall"),
    _function_pair("numpy", "getbufsize", "setbufsize", 8192),
    _State("numpy", lambda m: m.get_printoptions(), lambda m, value: m.set_printoptions(**value)),
    _function_pair("numpy.random", "get_state", "set_state", is_compared=False),
    _State(
        "matplotlib",
        _read_rc,
        lambda module, values: dict.update(module.rcParams, values),
        lambda module: {key: module.rcParamsOrig[key] for key in module.rcParamsOrig if "backend" not in key},
    ),
    _function_pair("torch", "get_rng_state", "set_rng_state", is_compared=False),
    _function_pair("torch", "is_grad_enabled", "set_grad_enabled", True),
    _State(
        "torch", lambda m: m.get_default_dtype(), lambda m, v: m.set_default_dtype(v), lambda m: m.float32
    ),
    _State("torch", lambda m: m.get_default_device(), _restore_device, lambda m: m.device("cpu")),
    _function_pair("torch", "get_num_threads", "set_num_threads"),
    _State(
        "torch",
        lambda m: (
            m.are_deterministic_algorithms_enabled(),
            m.is_deterministic_algorithms_warn_only_enabled(),
        ),
        lambda m, value: m.use_deterministic_algorithms(value[0], warn_only=value[1]),
        lambda m: (False, False),
    ),
    _function_pair("torch", "is_anomaly_enabled", "set_anomaly_enabled", False),
    _function_pair("torch", "get_float32_matmul_precision", "set_float32_matmul_precision", "highest"),
    _torch_flag("backends.cudnn.benchmark", False),
    _torch_flag("backends.cudnn.deterministic", False),
    _torch_flag("backends.cudnn.enabled", True),
    _function_pair(
        "torch.multiprocessing", "get_sharing_strategy", "set_sharing_strategy", "file_descriptor"
    ),
    _State(
        "torch",
        lambda module: module.get_num_interop_threads(),
        _impossible("torch.set_num_interop_threads was called, which works once in a process"),
    ),
    _State(
        "torch.distributed",
        _has_group,
        _impossible("a process group of torch.distributed is initialized"),  # could not be destroyed
        lambda _: False,
    ),
)


class ProcessState:
    """The state of this process before an attempt, which is restored after it.

    Reading all of it takes half a millisecond. What an attempt has not changed is not read again before the
    next one.
    """

    def __init__(self) -> None:
        self._values: dict[_State, Any] = {}

    def save(self) -> None:
        """Read the state, except for what is known since the last `restore`."""
        known, self._values = self._values, {}
        for state in _TABLE:
            value = known.get(state, _UNKNOWN)
            module = sys.modules.get(state.module)
            try:
                if value is _UNKNOWN and module is not None:
                    value = state.read(module)
            except (AttributeError, OSError):
                continue  # this system has no such state
            self._values[state] = value

    def restore(self, on_error: Callable[[Exception], None]) -> None:
        """Restore the state that was saved.

        Args:
            on_error: called with the exception of each part that cannot be restored.
        """
        for state, value in reversed(self._values.copy().items()):
            try:
                if _restore(state, value):
                    del self._values[state]
            except Exception as error:  # noqa: BLE001 - libraries raise whatever they like
                on_error(error)


def _restore(state: _State, value: Any) -> bool:
    """Restore a part of the state; returns whether it had changed. Then it can still differ in details."""
    module = sys.modules.get(state.module)
    if module is None:
        return False
    if value is _UNKNOWN:
        if state.initial is None:
            return False
        value = state.initial(module)
    if state.is_compared and _equal(state.read(module), value):
        return False
    state.restore(module, value)
    return state.is_compared


def _equal(first: Any, second: Any) -> bool:
    try:
        return bool(first == second)
    except Exception:  # noqa: BLE001 - arrays and tensors have no single truth value
        return False
