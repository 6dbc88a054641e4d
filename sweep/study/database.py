"""`Database`: a study in a database, such as PostgreSQL, which can be unreachable for some time."""

from __future__ import annotations

import copy
import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweep.errors import SweepError
from sweep.study.attributes import CREATION
from sweep.system.urls import hide_passwords

PATIENCE = 600.0
"""How long a running sweep waits for its database, in seconds. Then it stops, and can be resumed."""
_FIRST_INTERVAL, _LONGEST_INTERVAL = 0.1, 2.0  # seconds

_on_wait: ContextVar[Callable[[bool], None] | None] = ContextVar("on_wait", default=None)

_T = TypeVar("_T")

_CONNECT_ARGUMENTS: dict[str, dict[str, Any]] = {
    # Otherwise a connection whose other machine has disappeared is noticed after a quarter of an hour.
    "postgresql": {
        "connect_timeout": 10,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,  # milliseconds
    },
    "mysql+pymysql": {"connect_timeout": 10, "read_timeout": 60, "write_timeout": 60},
}


class Database(_CachedStorage):
    """Optuna's storage of a study in a database, whose calls wait until the database can be reached.

    A call that failed is repeated. Its first transaction may have been committed although the answer was
    lost, so the calls that Optuna does not allow twice look for what the first one has done.

    Args:
        url: SQLAlchemy's URL.
        patience: how long a call waits for the database, in seconds.

    Raises:
        Exception: the database cannot be opened; each driver raises its own.
    """

    def __init__(self, url: str, patience: float = 0.0) -> None:
        super().__init__(_connect(url, patience))
        self._url = url
        self._patience = patience

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        trial = (
            create_trial(state=TrialState.RUNNING) if template_trial is None else copy.copy(template_trial)
        )
        trial.system_attrs = {**trial.system_attrs, CREATION: secrets.token_hex(8)}
        return self._repeat(partial(super().create_new_trial, study_id, trial))

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        began = datetime.now() - timedelta(seconds=1)  # MySQL rounds times to seconds
        is_repeated = False

        def call() -> bool:
            nonlocal is_repeated
            must_check, is_repeated = is_repeated, True
            try:
                is_done = super(Database, self).set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                if must_check and self._is_in_state(trial_id, state, values):
                    return True
                raise
            if is_done or not must_check:
                return is_done
            started = self._backend.get_trial(trial_id).datetime_start
            return self._is_in_state(trial_id, state, None) and started is not None and started >= began

        return self._repeat(call)

    def _is_in_state(self, trial_id: int, state: TrialState, values: Sequence[float] | None) -> bool:
        trial = self._backend.get_trial(trial_id)
        return trial.state == state and (values is None or trial.values == list(values))

    def _repeat(self, call: Callable[[], _T]) -> _T:
        """Make a call until the database answers.

        Raises:
            SweepError: it has not answered for too long.
        """
        return repeat_until_answered(call, self._patience, self._url)


@contextmanager
def while_waiting(act: Callable[[bool], None]) -> Iterator[None]:
    """Inside the block, do something while this thread waits for a database.

    Args:
        act: called with True before each repetition of a call, and with False once the database answers. What
            it raises ends the waiting.
    """
    token = _on_wait.set(act)
    try:
        yield
    finally:
        _on_wait.reset(token)


def repeat_until_answered(call: Callable[[], _T], patience: float, url: str) -> _T:
    """Make a call of a database until the database answers.

    Args:
        call: the call; it can be repeated.
        patience: how long to repeat it, in seconds.
        url: the URL of the database, for the error.

    Raises:
        SweepError: the database has not answered for too long.
    """
    end, interval = time.monotonic() + patience, _FIRST_INTERVAL
    act, has_waited = _on_wait.get(), False
    while True:
        try:
            result = call()
        except Exception as error:
            if not patience or not is_unreachable(error):
                raise
            if time.monotonic() >= end:
                raise SweepError(
                    f"storage: {hide_passwords(url)} has not answered for {patience / 60:g} min: "
                    f"{describe(error, url)}; nothing was recorded after that"
                ) from None
        else:
            if act is not None and has_waited:
                act(False)
            return result
        if act is not None:
            has_waited = True
            act(True)
        time.sleep(min(interval, max(0.0, end - time.monotonic())))
        interval = min(2 * interval, _LONGEST_INTERVAL)


def _patient(name: str) -> Callable[..., Any]:
    method = getattr(_CachedStorage, name)

    def call(self: Database, *args: Any, **kwargs: Any) -> Any:
        return self._repeat(partial(method, self, *args, **kwargs))

    return call


for _name in (
    "create_new_study",  # the second time Optuna raises DuplicatedStudyError, and loads the study
    "set_study_user_attr",
    "set_study_system_attr",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "get_all_studies",
    "set_trial_param",  # the second time Optuna ignores it
    "get_trial_id_from_study_id_trial_number",
    "get_best_trial",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "get_trial",
    "get_all_trials",
):
    setattr(Database, _name, _patient(_name))


class _Backend(RDBStorage):
    """Optuna's storage in a database, in which the creation of a trial can be repeated."""

    _created: str | None = None

    def _get_prepared_new_trial(self, study_id: int, template_trial: FrozenTrial | None, session: Any) -> Any:
        """Create a trial in a transaction. Optuna repeats the transaction if it fails, up to five times."""
        from optuna.storages._rdb.models import TrialModel, TrialSystemAttributeModel

        assert template_trial is not None
        creation = template_trial.system_attrs[CREATION]
        if self._created == creation:
            found = (
                session.query(TrialModel)
                .join(TrialSystemAttributeModel)
                .filter(TrialModel.study_id == study_id)
                .filter(TrialSystemAttributeModel.key == CREATION)
                .filter(TrialSystemAttributeModel.value_json == json.dumps(creation))
                .first()
            )
            if found is not None:
                return found
        self._created = creation
        return super()._get_prepared_new_trial(study_id, template_trial, session)


def is_unreachable(error: BaseException) -> bool:
    """Whether an error means that a database cannot be reached now, or is busy, but may answer later."""
    from sqlalchemy.exc import InterfaceError, OperationalError

    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if not isinstance(cause, OperationalError | InterfaceError):
        return False
    return "locked" in str(cause.orig) if isinstance(cause.orig, sqlite3.Error) else True


def describe(error: BaseException, url: str) -> str:
    """One line about the error of the database with a URL, without passwords."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    cause = getattr(cause, "orig", None) or cause  # without the SQL statement
    return f"{type(cause).__name__}: {' '.join(hide_passwords(str(cause), url).split())[:300]}"


def _connect(url: str, patience: float) -> _Backend:
    from sqlalchemy import event
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    defaults = _CONNECT_ARGUMENTS.get(parsed.drivername) or _CONNECT_ARGUMENTS.get(
        parsed.get_backend_name(), {}
    )
    arguments = {key: value for key, value in defaults.items() if key not in parsed.query}
    if parsed.drivername == "mysql+pymysql":
        arguments["local_infile"] = False  # with it, a server can read any file of this user
    options = {"connect_args": arguments} if arguments else {}
    backend = repeat_until_answered(partial(_Backend, url, options), patience, url)
    if backend.engine.name == "postgresql":
        event.listen(backend.engine, "connect", _commit_to_disk)
        backend.engine.dispose()  # the connections that were opened before
    return backend


def _commit_to_disk(connection: Any, record: object) -> None:
    """Have each transaction on the disk before its commit is answered, whatever the server's default is."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'on', false) "
            "WHERE current_setting('synchronous_commit') = 'off'"
        )
    connection.commit()
