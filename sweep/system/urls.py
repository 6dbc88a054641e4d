"""URLs of databases: their passwords, which are not shown, environment variables in them, and drivers."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from sweep.errors import EntryError

HIDDEN = "***"
"""What is shown in place of a password. In a URL it stands for the password that the sweep has stored."""

_PASSWORD = re.compile(r"(?<=://)([^\s:/@'\"]*):([^\s@'\"]+)@")
_PASSWORD_OPTION = re.compile(r"(?<=[?&])(password|sslpassword)=[^&\s'\"]+")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_PREFIX = "SWEEP_"
_CLIENT_VARIABLE = re.compile(r"PG[A-Z]+|MYSQL_\w+")
"""The variables from which the clients of databases read what a URL does not say, such as PGPASSWORD."""
_DRIVERS = {
    "postgresql": {"psycopg2": "psycopg2", "psycopg": "psycopg"},
    "mysql": {"mysqldb": "MySQLdb", "pymysql": "pymysql"},
}
"""SQLAlchemy's drivers by database, its default first, and the modules that they need."""

_given: dict[str, str] = {}
"""The URLs with passwords that this process was given, by the same URLs without. They can be newer than what
a sweep has stored."""


def hide_passwords(text: str) -> str:
    """A text with `***` in place of the passwords in its URLs. Environment variables are kept."""
    text = _PASSWORD.sub(lambda found: f"{found[1]}:{_hidden(found[2])}@", text)
    return _PASSWORD_OPTION.sub(rf"\1={HIDDEN}", text)


def _hidden(password: str) -> str:
    return password if _VARIABLE.fullmatch(password) else HIDDEN


def store_password(url: str, file: Path) -> None:
    """Store the password that is written in a URL in a file that only this user can read, if there is one."""
    found = _PASSWORD.search(url)
    if found is None or _hidden(found[2]) != HIDDEN:
        file.unlink(missing_ok=True)
    elif found[2] != HIDDEN:
        file.unlink(missing_ok=True)
        with open(
            os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as secret:
            secret.write(found[2])


def connection_url(url: str, stored_password: Path) -> str:
    """The URL with which a database is opened.

    Args:
        url: the URL of the sweep file. `${SWEEP_NAME}` is an environment variable. If its password is hidden,
            it is the stored one, or without it what the client finds in PGPASSWORD or `~/.pgpass`.
        stored_password: the file with the password.

    Raises:
        EntryError: an environment variable or the driver of the database is missing, or SQLAlchemy does not
            know the kind of database.
    """
    hidden = hide_passwords(url)
    if url != hidden:
        _given[hidden] = url
    url = _given.get(url, url)
    found = _PASSWORD.search(url)
    if found is not None and found[2] == HIDDEN:
        try:
            password = ":" + stored_password.read_text("utf-8")
        except OSError:
            password = ""
        url = f"{url[: found.start()]}{found[1]}{password}@{url[found.end() :]}"
    return _with_driver(_VARIABLE.sub(lambda variable: _value(variable[1], url), url))


def client_environment(url: str | None) -> dict[str, str]:
    """The environment variables on which a connection to a database depends; empty without a database."""
    if url is None:
        return {}
    names = {*_VARIABLE.findall(url), *filter(_CLIENT_VARIABLE.fullmatch, os.environ)}
    return {name: os.environ[name] for name in names if name in os.environ}


def _value(name: str, url: str) -> str:
    if not name.startswith(_PREFIX):
        # Otherwise the directory of a sweep that somebody sends could have any secret sent to its database.
        raise EntryError(
            "storage", f"${{{name}}}: only variables whose names begin with {_PREFIX} are used; rename it"
        )
    if name not in os.environ:
        raise EntryError("storage", f"the environment variable {name} is not set; export it")
    # A password can contain characters that mean something in a URL.
    return os.environ[name] if url.startswith(f"${{{name}}}") else quote(os.environ[name], safe="")


def _with_driver(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    database, _, driver = scheme.partition("+")
    database = "postgresql" if database == "postgres" else database
    drivers = _DRIVERS.get(database, {})
    if not driver and drivers:
        driver = next((name for name, module in drivers.items() if find_spec(module)), "")
    if drivers and (not driver or (driver in drivers and not find_spec(drivers[driver]))):
        package = drivers.get(driver, next(reversed(drivers)))
        extra = "pip install 'sweep-hpo[postgresql]'" if package == "psycopg" else f"pip install {package}"
        raise EntryError("storage", f"{scheme}:// needs a driver of the database; install it with: {extra}")
    url = f"{database}{f'+{driver}' if driver else ''}{separator}{rest}"
    _check_database(url)
    return url


def _check_database(url: str) -> None:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        make_url(url).get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise EntryError(
            "storage",
            f"{hide_passwords(url)} is not the URL of a database that SQLAlchemy knows; write for example "
            "sqlite:///sweep.db or postgresql://user@host/database",
        ) from None
