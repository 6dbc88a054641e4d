"""The snapshot of a study beside its journal: a cache, from which the trials are read without a replay.

Optuna's own snapshots contain the same objects, but are written whole while everybody waits, after every
hundredth trial. The journal alone remains the record: a snapshot that does not fit it, or that another
version has written, is ignored.
"""

from __future__ import annotations

import datetime
import gc
import io
import json
import pickle
import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

_PART = 100
"""How many trials are written at once. Other threads run in between."""
_CLASSES = {
    (kind.__module__, kind.__qualname__): kind
    for kind in (
        CategoricalDistribution,
        FloatDistribution,
        FrozenStudy,
        FrozenTrial,
        IntDistribution,
        StudyDirection,
        TrialState,
        datetime.datetime,
    )
}
"""All that a snapshot consists of, besides numbers, strings, lists and dictionaries."""


@dataclass(frozen=True)
class Snapshot:
    """A study as of a place in its journal.

    Args:
        lines: the number of lines of the journal that it covers.
        position: where they end in the file, in bytes.
        studies: `IndexedReplay.studies`.
        trials: all trials, ordered by id. None of them changes any more.
    """

    lines: int
    position: int
    studies: dict[str, Any]
    trials: list[FrozenTrial]

    def write(self, path: Path, journal: Path) -> None:
        """Write the snapshot, and replace an earlier one. Other threads run meanwhile.

        Raises:
            OSError: it cannot be written.
        """
        temporary = path.with_name(f"{path.name}.tmp")
        checksum = 0
        with temporary.open("wb") as file:
            for part in self._parts():
                file.write(part)
                checksum = zlib.crc32(part, checksum)
                time.sleep(0)
            facts = {
                "versions": _versions(),
                "lines": self.lines,
                "position": self.position,
                "journal": _checksum_of(journal, self.position),
                "checksum": checksum,
            }
            file.write(b"\n" + json.dumps(facts).encode())
        temporary.replace(path)

    def _parts(self) -> Iterator[bytes]:
        yield pickle.dumps(self.studies)
        for start in range(0, len(self.trials), _PART):
            yield pickle.dumps(self.trials[start : start + _PART])


def read_snapshot(path: Path, journal: Path) -> Snapshot | None:
    """Read a snapshot; None if there is none that fits the journal."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    end = content.rfind(b"\n")
    try:
        facts = json.loads(content[end + 1 :])
        if facts["versions"] != _versions() or facts["checksum"] != zlib.crc32(memoryview(content)[:end]):
            return None
        if facts["journal"] != _checksum_of(journal, facts["position"]):
            return None
        with without_collections():
            studies, *parts = _unpickle(content, end)
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, pickle.UnpicklingError):
        return None
    trials = [trial for part in parts for trial in part]
    return Snapshot(facts["lines"], facts["position"], studies, trials)


@contextmanager
def without_collections() -> Iterator[None]:
    """Suspend Python's search for cycles, which otherwise looks at all objects again while they are read."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Unpickler(pickle.Unpickler):
    """Creates only the objects of a study: the snapshot of a sweep from somebody else runs no code."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _CLASSES[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not part of a snapshot") from None


def _unpickle(content: bytes, end: int) -> Iterable[Any]:
    file = io.BytesIO(content)
    while file.tell() < end:
        yield _Unpickler(file).load()


def _versions() -> list[str]:
    return [version("sweep-hpo"), optuna.__version__, sys.version]


def _checksum_of(journal: Path, position: int) -> int | None:
    """A checksum of the first bytes of a journal; None if it is shorter."""
    checksum, left = 0, position
    with journal.open("rb") as file:
        while left > 0:
            block = file.read(min(left, 1 << 20))
            if not block:
                return None
            checksum = zlib.crc32(block, checksum)
            left -= len(block)
    return checksum
