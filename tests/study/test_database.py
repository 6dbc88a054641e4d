"""A study in a database: what is repeated after a lost answer, waiting, drivers and passwords."""

from __future__ import annotations

import random
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError

import sweep
from sweep.analysis.view import SweepView
from sweep.errors import EntryError, SweepError
from sweep.study.database import Database, describe, repeat_until_answered, while_waiting
from sweep.study.storage import load_study, open_url
from sweep.sweepfile import load_spec
from sweep.system.directory import SweepDirectory
from sweep.system.urls import client_environment, connection_url, hide_passwords, store_password
from tests.commands import call_here
from tests.conftest import MakeSweep
from tests.postgres import Postgres

NOWHERE = Path("/nowhere")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database whose calls wait."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/study.db"
    else:
        url = request.getfixturevalue("postgres").create(f"test-{secrets.token_hex(4)}")
    database = Database(connection_url(url, NOWHERE), patience=60)
    yield database
    database._backend.engine.dispose()


pytestmark = pytest.mark.process


class LostAnswers:
    """From its creation until `stop`, every other commit of a database succeeds without an answer."""

    def __init__(self, database: Database) -> None:
        self.count = 0
        self._connection = database._backend.engine
        self._original = self._connection.dialect.do_commit
        self._connection.dialect.do_commit = self._commit
        self._random = random.Random(1)

    def _commit(self, connection: Any) -> None:
        self._original(connection)
        if self._random.random() < 0.5:
            self.count += 1
            message = "database is locked: the answer was lost"  # SQLite's other errors are not temporary
            raise OperationalError("COMMIT", {}, self._driver_error(message))

    def _driver_error(self, message: str) -> Exception:
        error: Exception = self._connection.dialect.dbapi.OperationalError(message)
        return error

    def stop(self) -> None:
        self._connection.dialect.do_commit = self._original


def test_what_a_call_has_done_is_not_done_again_if_its_answer_was_lost(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.study.database._FIRST_INTERVAL", 0.001)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # Optuna waits up to 2 s
    lost = LostAnswers(database)
    study = optuna.create_study(storage=database, study_name="demo", load_if_exists=True)
    study.enqueue_trial({"x": 0.25})
    study.set_user_attr("seed", 1)
    for number in range(4):
        trial = study.ask({"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)})
        assert trial.number == number
        trial.report(0.5, 0)
        trial.report(0.75, 1)
        trial.set_user_attr("a", number)
        state = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.COMPLETE][number]
        study.tell(trial, 1.0 if state == TrialState.COMPLETE else None, state)
    assert lost.count >= 30
    lost.stop()
    trials = study.get_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE", "PRUNED", "FAIL", "COMPLETE"]
    assert trials[0].params["x"] == 0.25
    assert [trial.values for trial in trials] == [[1.0], [0.75], None, [1.0]]
    assert all(trial.intermediate_values == {0: 0.5, 1: 0.75} for trial in trials)
    assert [trial.user_attrs for trial in trials] == [{"a": number} for number in range(4)]


def test_a_trial_that_is_finished_cannot_be_finished_again(database: Database) -> None:
    study = optuna.create_study(storage=database)
    trial = study.ask()
    study.tell(trial, 1.0)
    with pytest.raises(ValueError, match="Cannot tell a COMPLETE trial"):
        study.tell(trial, 1.0)


@pytest.mark.parametrize("is_killed", [True, False])
def test_calls_wait_until_the_database_is_back(postgres: Postgres, is_killed: bool) -> None:
    url = postgres.create(f"test-{secrets.token_hex(4)}")
    study = optuna.create_study(storage=Database(connection_url(url, NOWHERE), patience=60))
    trial = study.ask()
    if is_killed:
        postgres.stop()
    else:
        postgres.freeze()
    back = threading.Timer(1.5, postgres.start if is_killed else postgres.thaw)
    back.start()
    began = time.monotonic()
    trial.report(1.0, 0)
    assert time.monotonic() - began > 1
    back.join()
    study.tell(trial, 1.0)
    assert [found.intermediate_values for found in study.get_trials()] == [{0: 1.0}]


def test_a_database_that_stays_away_is_one_error_without_its_password(postgres: Postgres) -> None:
    url = postgres.create(f"test-{secrets.token_hex(4)}")
    study = optuna.create_study(storage=Database(connection_url(url, NOWHERE), patience=0.3))
    postgres.stop()
    try:
        with pytest.raises(SweepError) as caught:
            study.ask()
    finally:
        postgres.start()
    message = str(caught.value)
    assert message.startswith(f"storage: postgresql+psycopg://sweep:***@127.0.0.1:{postgres.port}/test-")
    assert "has not answered for 0.005 min: OperationalError: connection" in message
    assert "s3cr" not in message


def test_an_outcome_is_on_the_disk_even_if_the_server_would_answer_earlier(postgres: Postgres) -> None:
    url = postgres.create(f"test-{secrets.token_hex(4)}")
    first = Database(connection_url(url, NOWHERE))
    with first._backend.engine.connect() as connection:
        name = url.rpartition("/")[2]
        connection.execute(text(f'ALTER DATABASE "{name}" SET synchronous_commit = off'))
        connection.commit()
    first._backend.engine.dispose()
    with Database(connection_url(url, NOWHERE))._backend.engine.connect() as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar() == "on"


def test_errors_that_are_not_temporary_are_raised_at_once(tmp_path: Path) -> None:
    study = optuna.create_study(storage=Database(f"sqlite:///{tmp_path}/study.db", patience=60))
    with study._storage._backend.engine.connect() as connection:  # type: ignore[attr-defined]
        connection.execute(text("DROP TABLE trials"))
        connection.commit()
    with pytest.raises(optuna.exceptions.StorageInternalError):
        study.ask()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:se/c:r%40et@host/db", "postgresql://me:***@host/db"),
        ("mysql+pymysql://me:secret@host/db?x=1", "mysql+pymysql://me:***@host/db?x=1"),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db?user=me&password=***"),
        ("postgresql://me:${SWEEP_PASSWORD}@host/db", "postgresql://me:${SWEEP_PASSWORD}@host/db"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        ("sqlite:////data/a:b.db", "sqlite:////data/a:b.db"),
        ("sqlite:////data/a:b@c.db", "sqlite:////data/a:b@c.db"),
        ("postgresql://me:to'p\"se@host:1/db", "postgresql://me:***@host:1/db"),
        ("postgresql://me:to p@host/db?x=1@2", "postgresql://me:***@host/db?x=1@2"),
        ("postgresql://me:to@p@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:to?x=p@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me/too:secret@host/db", "postgresql://me/too:***@host/db"),
        ("postgresql:/me:secret@host/db", "postgresql:/me:***@host/db"),
        ("postgresql://me:***@host/d@b", "postgresql://me:***@host/d@b"),
        ("postgresql://host/db?password=to'p s&x=1", "postgresql://host/db?password=***&x=1"),
        ("storage=postgresql://me:to'p@host/db", "storage=postgresql://me:***@host/db"),
        ("--set=storage=me:to'p@host/db", "--set=storage=me:***@host/db"),
        (
            "--set 'storage=postgresql://me:secret@host/db' -n 3",
            "--set 'storage=postgresql://me:***@host/db' -n 3",
        ),
    ],
)
def test_passwords_in_urls_are_not_shown(url: str, shown: str) -> None:
    assert hide_passwords(url) == shown
    assert hide_passwords(shown) == shown


def test_a_hidden_password_is_the_one_that_the_sweep_has_stored(tmp_path: Path) -> None:
    file = tmp_path / ".password"
    store_password("postgresql+psycopg://me:se%40cret@other/db", file)
    assert file.stat().st_mode & 0o777 == 0o600
    hidden = "postgresql+psycopg://me:***@other/db"
    assert connection_url(hidden, file) == "postgresql+psycopg://me:se%40cret@other/db"
    store_password(hidden, file)  # as in the command that resumes the sweep
    assert file.exists()
    assert connection_url(hidden, tmp_path / "missing") == "postgresql+psycopg://me@other/db"
    assert connection_url("postgresql+psycopg://me:new@other/db", file).endswith("me:new@other/db")
    assert connection_url(hidden, file).endswith("me:new@other/db")  # as this process was given it
    store_password("postgresql+psycopg://me@other/db", file)
    assert not file.exists()


def test_passwords_in_the_options_of_a_url_are_stored_too(tmp_path: Path) -> None:
    file = tmp_path / ".password"
    url = (
        "postgresql+psycopg://me:a%2Fb@host{}/db?x=1&password=c%3Dd&sslpassword=${{SWEEP_X}}&sslmode=require"
    )
    store_password(url.format(1), file)
    hidden = hide_passwords(url.format(2))  # another host: this process was not given its passwords
    assert hidden.count("***") == 2
    restored = connection_url(hidden.replace("${SWEEP_X}", "e"), file)
    assert restored == url.format(2).replace("${{SWEEP_X}}", "e").replace("${SWEEP_X}", "e")
    store_password(hidden.replace("me:***", "me:new"), file)
    assert file.read_text().splitlines() == ["new", "c%3Dd"]
    lost = connection_url("postgresql+psycopg://host3/db?password=***", tmp_path / "missing")
    assert lost == "postgresql+psycopg://host3/db?password="  # SQLAlchemy ignores an empty option


def test_an_error_of_a_database_does_not_contain_its_password() -> None:
    url = "postgresql://me:to'p%3As@host/db?password=se cret"
    error = describe(RuntimeError("no user me with to'p:s, to'p%3As\nor se cret"), url)
    assert error == "RuntimeError: no user me with ***, *** or ***"


def test_an_at_sign_in_a_password_has_to_be_escaped() -> None:
    with pytest.raises(EntryError, match=r"me:\*\*\*@host/db has an @ in its password; write it as %40"):
        connection_url("postgresql+psycopg://me:to@p@host/db", NOWHERE)
    url = "postgresql+psycopg://me:pass@host/d@b"
    assert connection_url(url, NOWHERE) == url


def test_something_is_done_while_the_database_does_not_answer() -> None:
    seen: list[bool] = []
    answers: list[Exception | str] = [OperationalError("", {}, Exception())] * 2 + ["done"]

    def ask() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with while_waiting(seen.append):
        assert repeat_until_answered(ask, 60, "postgresql://host/db") == "done"
        assert repeat_until_answered(lambda: 1, 60, "postgresql://host/db") == 1
    assert seen == [True, True, False]


def test_a_relative_path_of_a_database_is_in_the_folder_in_which_the_sweep_was_started(
    make_sweep: MakeSweep, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make_sweep("def train(trial):\n    return 1.0", storage="sqlite:///study.db", stop={"trials": 2})
    sweep.run(file, inline=True)
    (project / "other").mkdir()
    monkeypatch.chdir(project / "other")
    assert len(SweepView.open("demo", project / "runs").frozen_trials) == 2
    assert not Path("study.db").exists()
    message = f"the study is in {project}/study.db, but here storage: sqlite:///study.db is another file"
    with pytest.raises(sweep.InputError, match=re.escape(message)):
        sweep.run(file, runs=project / "runs", n_trials=3, inline=True)
    assert not Path("study.db").exists()


def test_a_folder_with_a_sweep_and_its_database_can_be_moved(
    make_sweep: MakeSweep, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = project / "before", project / "after"
    before.mkdir()
    monkeypatch.chdir(before)
    file = make_sweep("def train(trial):\n    return 1.0", storage="sqlite:///study.db", stop={"trials": 2})
    sweep.run(file, inline=True)
    shutil.copytree(before, after)
    monkeypatch.chdir(after)
    assert len(sweep.run(file, n_trials=3, inline=True).trials) == 3
    monkeypatch.chdir(before)
    assert len(sweep.run(file, inline=True).trials) == 2


def test_environment_variables_can_be_parts_of_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEP_PASSWORD", "a/b@c")
    monkeypatch.setenv("SWEEP_URL", "sqlite:///x.db")
    monkeypatch.setenv("PGPASSFILE", "/home/me/pass")
    url = "postgresql+psycopg://me:${SWEEP_PASSWORD}@host/db"
    assert connection_url(url, NOWHERE) == "postgresql+psycopg://me:a%2Fb%40c@host/db"
    assert connection_url("${SWEEP_URL}", NOWHERE) == "sqlite:///x.db"
    assert (
        client_environment(url).items() >= {"SWEEP_PASSWORD": "a/b@c", "PGPASSFILE": "/home/me/pass"}.items()
    )
    with pytest.raises(
        EntryError, match="storage: the environment variable SWEEP_MISSING is not set; export it"
    ):
        connection_url("postgresql+psycopg://me:${SWEEP_MISSING}@host/db", NOWHERE)


def test_other_environment_variables_are_not_sent_to_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUD_SECRET", "secret")
    with pytest.raises(EntryError, match="only variables whose names begin with SWEEP_ are used") as caught:
        connection_url("postgresql+psycopg://me:${CLOUD_SECRET}@host/db", NOWHERE)
    assert "secret" not in str(caught.value)


def test_no_server_can_ask_for_files_of_its_client() -> None:
    url = "mysql+pymysql://me@127.0.0.1:1/db?local_infile=1"
    options: list[dict[str, Any]] = []

    def connect(dialect: object, record: object, arguments: object, given: dict[str, Any]) -> None:
        options.append(given)
        raise ConnectionError

    event.listen(Engine, "do_connect", connect)
    try:
        with pytest.raises(ConnectionError):
            Database(url)
    finally:
        event.remove(Engine, "do_connect", connect)
    assert [given["local_infile"] for given in options] == [False]


def test_reading_creates_no_database(tmp_path: Path, project: Path, make_sweep: MakeSweep) -> None:
    spec = load_spec(make_sweep("", storage=f"sqlite:///{tmp_path}/study.db"))
    assert load_study(spec, SweepDirectory(tmp_path)) is None
    assert not (tmp_path / "study.db").exists()


@pytest.mark.parametrize(
    ("url", "installed", "opened"),
    [
        ("postgresql://host/db", {"psycopg"}, "postgresql+psycopg://host/db"),
        ("postgres://host/db", {"psycopg", "psycopg2"}, "postgresql+psycopg2://host/db"),
        ("postgresql+asyncpg://host/db", set(), "postgresql+asyncpg://host/db"),
        ("mysql://host/db", {"pymysql"}, "mysql+pymysql://host/db"),
        ("sqlite:///x.db", set(), "sqlite:///x.db"),
        ("postgresql://host/db", set(), r"pip install 'sweep-hpo\[postgresql\]'"),
        ("postgresql+psycopg2://host/db", {"psycopg"}, "pip install psycopg2"),
        ("mysql://host/db", set(), "pip install pymysql"),
    ],
)
def test_an_installed_driver_is_used(
    url: str, installed: set[str], opened: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find: Callable[[str], object] = lambda name: name in installed or None  # noqa: E731
    monkeypatch.setattr("sweep.system.urls.find_spec", find)
    if "pip" not in opened:
        assert connection_url(url, NOWHERE) == opened
        return
    with pytest.raises(EntryError, match=rf"needs a driver of the database; install it with: {opened}"):
        connection_url(url, NOWHERE)


@pytest.mark.parametrize(
    "url", ["foo://u:secret@host/db", "postgresql+foo://host/db", "mysql://h:p/db", "db"]
)
def test_a_url_that_sqlalchemy_does_not_know_is_an_error_before_anything_is_opened(url: str) -> None:
    with pytest.raises(EntryError, match="is not the URL of a database that SQLAlchemy knows") as raised:
        connection_url(url, NOWHERE)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"],
)
def test_a_database_in_memory_is_an_error(url: str) -> None:
    with pytest.raises(EntryError, match="is a database in memory, which is lost when the process ends"):
        connection_url(url, NOWHERE)
    assert connection_url("sqlite:///file:x?mode=rwc&uri=true", NOWHERE)


def test_sweep_check_checks_the_url(make_sweep: MakeSweep) -> None:
    file = make_sweep("def train(trial):\n    return 1.0", storage="foo://host/db")
    message = call_here("check", file, status=2).stderr
    assert "storage: foo://host/db is not the URL of a database" in message


def test_a_database_that_cannot_be_opened_is_one_error(postgres: Postgres, tmp_path: Path) -> None:
    directory = SweepDirectory(tmp_path)
    message = r"cannot be opened: OperationalError: .*authentication failed"
    with pytest.raises(EntryError, match=message) as caught:
        open_url(postgres.url("postgres", "wrong-one"), directory)
    assert "wrong-one" not in str(caught.value)


def test_no_file_that_is_shown_contains_the_password(
    make_sweep: MakeSweep, project: Path, postgres: Postgres
) -> None:
    file = make_sweep(
        "def train(trial):\n    return trial.params.x",
        storage=postgres.create(f"test-{secrets.token_hex(4)}"),
        stop={"trials": 2},
    )
    sweep.run(file, inline=True)
    for path in (project / "runs").rglob("*"):
        if path.is_file() and path.name != ".password":
            assert b"s3cr" not in path.read_bytes(), path
    assert (project / "runs/demo/.password").stat().st_mode & 0o777 == 0o600
