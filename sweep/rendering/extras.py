"""Libraries that only some features need, which the extras of the package install."""

from __future__ import annotations

import importlib
from typing import Any

from sweep.errors import SweepError


def require(module: str, feature: str, extra: str = "analysis") -> Any:
    """Import a library of an extra.

    Args:
        module: the library's module.
        feature: what needs it, for the message: Parquet files.
        extra: the extra that installs it.

    Raises:
        SweepError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        if error.name is not None and error.name.partition(".")[0] != library:
            raise SweepError(f"{library} cannot be imported: {error}") from None
        raise SweepError(
            f"{feature}: {library} is not installed; install it with: pip install 'sweep-hpo[{extra}]'"
        ) from None
