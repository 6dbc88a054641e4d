"""`RemoteRuns`: a folder of sweeps in an object store, and the local folder with their copies."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sweep.errors import InputError, SweepError
from sweep.system.durable import write_atomically
from sweep.system.paths import home_path

_MARKER = ".remote"
"""The file in a local folder that contains the URL of which it is a copy."""
_LOCAL: dict[str, Any] = {"auto_mkdir": True}
_REMOTE: dict[str, Any] = {"use_listings_cache": False}
_EXTRAS = {"s3": "sweep-hpo[s3]", "s3a": "sweep-hpo[s3]"}


def runs_path(text: str | os.PathLike[str]) -> Path:
    """The folder that contains the sweeps: a path with `~` expanded, or the local copy of a URL's folder.

    Raises:
        InputError: there is no such home directory, the URL names nothing, or the local folder cannot be
            created.
    """
    scheme, is_url, rest = os.fspath(text).partition("://")
    if not is_url:
        return home_path(text)
    if not rest.strip("/"):
        raise InputError(f"--runs {text}: names no bucket; write for example {scheme}://BUCKET/runs")
    url = os.fspath(text).rstrip("/")
    slug = re.sub(r"[^a-zA-Z0-9]+", "-", url).strip("-")[-40:]
    cache = home_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    folder = cache / "sweep" / f"{slug}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / _MARKER).exists():
            write_atomically(folder / _MARKER, url)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}; set XDG_CACHE_HOME") from None
    return folder


def remote_runs(runs: Path) -> RemoteRuns | None:
    """The folder in an object store of which a local folder is a copy; None if it is none."""
    try:
        return RemoteRuns((runs / _MARKER).read_text("utf-8"))
    except OSError:
        return None


@dataclass(frozen=True)
class RemoteRuns:
    """A folder of sweeps in an object store.

    Args:
        url: its URL, for any of the file systems of fsspec.
    """

    url: str

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        try:
            from fsspec.core import url_to_fs

            is_local = self.url.startswith(("file:", "local:"))
            opened: tuple[Any, str] = url_to_fs(self.url, **_LOCAL if is_local else _REMOTE)
            return opened
        except ImportError as error:
            scheme = self.url.partition("://")[0]
            package = _EXTRAS.get(scheme)
            hint = f"pip install '{package}'" if package else f"{error}"
            raise InputError(f"--runs {self.url}: needs a package for {scheme}://: {hint}") from None
        except ValueError as error:
            raise InputError(f"--runs {self.url}: {error}; write for example s3://BUCKET/runs") from None

    @property
    def files(self) -> Any:
        """The file system."""
        return self._opened[0]

    def path(self, *parts: str) -> str:
        """The path of an object in the file system."""
        return "/".join([self._opened[1].rstrip("/"), *parts])

    def names(self) -> list[str]:
        """The sweeps in the folder."""
        with self.reaching():
            try:
                return sorted(
                    str(path).rpartition("/")[2] for path in self.files.ls(self.path(), detail=False)
                )
            except FileNotFoundError:
                return []

    def read_json(self, *parts: str) -> dict[str, Any] | None:
        """A JSON object in the folder; None if it is missing."""
        with self.reaching():
            try:
                found: dict[str, Any] = json.loads(self.files.cat_file(self.path(*parts)))
                return found
            except FileNotFoundError:
                return None

    def write_json(self, data: dict[str, Any], *parts: str) -> None:
        with self.reaching():
            self.files.pipe_file(self.path(*parts), json.dumps(data).encode())

    def create_json(self, data: dict[str, Any], *parts: str) -> bool:
        """Write a JSON object unless it exists; returns whether it is new, as far as the store can tell."""
        path, content = self.path(*parts), json.dumps(data).encode()
        with self.reaching():
            if self.files.exists(path):
                return False
            try:
                self.files.pipe_file(path, content, mode="create")
            except FileExistsError:
                return False
            except (ValueError, TypeError, NotImplementedError):  # the store has no exclusive creation
                self.files.pipe_file(path, content)
        return self.read_json(*parts) == data

    def remove(self, *parts: str) -> None:
        with self.reaching(), suppress(FileNotFoundError):
            self.files.rm_file(self.path(*parts))

    @contextmanager
    def reaching(self) -> Iterator[None]:
        """A context in which the store is used.

        Raises:
            SweepError: it cannot be reached, or refuses.
        """
        try:
            yield
        except FileNotFoundError:
            raise
        except (InputError, SweepError):
            raise
        except Exception as error:  # noqa: BLE001 - every store raises its own
            text = " ".join(str(error).split())[:300]
            raise SweepError(f"--runs {self.url}: {type(error).__name__}: {text}") from None
