"""Tells the user that a sweep waits for its database, which has stopped answering."""

from __future__ import annotations

import time

from sweep.engine.observer import Observer
from sweep.study.database import PATIENCE
from sweep.system.urls import hide_passwords

_NOTE_AFTER = 5.0  # seconds


class StorageWatch:
    """Measures how long the controller, which waits for the database, has not answered.

    Args:
        url: the URL of the database; None if the study is in a journal.
        observer: receives the notes.
    """

    def __init__(self, url: str | None, observer: Observer) -> None:
        self._url = url
        self._observer = observer
        self._asked: float | None = None
        """When the controller was asked, on the monotonic clock; None if it has answered."""
        self._is_noted = False

    def asked(self) -> None:
        """Record that the controller has been asked for the progress."""
        self._asked = time.monotonic()

    def answered(self) -> None:
        """Record that the controller has answered."""
        if self._is_noted and self._asked is not None:
            self._observer.on_note(f"storage: answers again, after {time.monotonic() - self._asked:.0f} s")
        self._asked, self._is_noted = None, False

    def check(self) -> None:
        """Tell the user once if the answer takes long."""
        if self._url is None or self._asked is None or self._is_noted:
            return
        if time.monotonic() - self._asked > _NOTE_AFTER:
            self._is_noted = True
            self._observer.on_note(
                f"storage: {hide_passwords(self._url)} does not answer; running trials continue, and the "
                f"sweep waits for it for {PATIENCE / 60:g} min"
            )
