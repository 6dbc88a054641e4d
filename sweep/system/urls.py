"""URLs of databases: their passwords, which are not shown, environment variables in them, and drivers."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path
from urllib.parse import quote, unquote

from sweep.errors import EntryError
from sweep.system.durable import write_private

HIDDEN = "***"
"""What is shown in place of a password. In a URL it stands for the password that the sweep has stored."""

_PASSWORD = re.compile(r"(?<=://)([^\s:/@'\"]*):([^\s@'\"]+)@")
_PASSWORD_OPTION = re.compile(r"(?<=[?&])(password|sslpassword)=[^&\s'\"]+")
"""The passwords of URLs inside any text. Where a URL ends is not known there, so they contain no quotes."""

_VALUE = re.compile(r"(?:--set=)?storage\s*=\s*['\"]?|\s*(?=[\w+.\-]+:/)")
"""The start of a text that is a URL as a whole, or that sets `storage` to one."""
_SCHEME = re.compile(r"[\w+.\-]+:/+")
_FILE = re.compile(r"sqlite[+\w]*:///")
_USER = re.compile(r"[^:]*:((?:\*{3}|\$\{\w+\})(?=@)|.*)@", re.DOTALL)
"""A user, and a password up to the last @, since users forget to write special characters as %40."""
_QUERY = re.compile(r"\?(?=[\w.\-]+=)")
_OPTION = re.compile(r"(?<=[?&])(?:password|sslpassword)=([^&]+)")
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


def hide_passwords(text: str, url: str | None = None) -> str:
    """A text with `***` in place of the passwords in its URLs. Environment variables are kept.

    Args:
        text: a URL, or any text.
        url: the URL of the database that the text is about: its password is hidden wherever it is.
    """
    secrets = [] if url is None else [password for password in _passwords(url) if password != HIDDEN]
    for secret in sorted({*secrets, *map(unquote, secrets)}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    if (value := _VALUE.match(text)) is not None:
        return text[: value.end()] + _hide(text[value.end() :])
    text = _PASSWORD.sub(lambda found: f"{found[1]}:{_hidden(found[2])}@", text)
    return _PASSWORD_OPTION.sub(rf"\1={HIDDEN}", text)


def _hidden(password: str) -> str:
    return password if _VARIABLE.fullmatch(password) else HIDDEN


def _hide(url: str) -> str:
    for start, end in reversed(_password_spans(url)):
        url = url[:start] + HIDDEN + url[end:]
    return url


def _passwords(url: str) -> list[str]:
    return [url[start:end] for start, end in _password_spans(url)]


def _password_spans(url: str) -> list[tuple[int, int]]:
    """Where the passwords of a URL are that are not environment variables: that of the user, and options."""
    if _FILE.match(url):
        return []
    scheme, query = _SCHEME.match(url), _QUERY.search(url)
    start = scheme.end() if scheme is not None else 0
    options = [found.span(1) for found in _OPTION.finditer(url)]
    user = _USER.match(url, start, query.start() if query is not None else len(url))
    if user is None and not options:
        user = _USER.match(url, start)  # what looks like options belongs to the password
    spans = options if user is None else [user.span(1), *options]
    return [(start, end) for start, end in spans if not _VARIABLE.fullmatch(url[start:end])]


def store_password(url: str, file: Path) -> None:
    """Store the passwords that are written in a URL in a file that only this user can read, one a line."""
    passwords = _passwords(url)
    if passwords and all(password == HIDDEN for password in passwords):
        return  # they are in the file
    passwords = _passwords(_with_stored(url, file))
    if passwords:
        write_private(file, "\n".join(passwords))
    else:
        file.unlink(missing_ok=True)


def _with_stored(url: str, file: Path) -> str:
    """A URL with the stored passwords in place of hidden ones, or without those that are not stored."""
    spans = _password_spans(url)
    if not any(url[start:end] == HIDDEN for start, end in spans):
        return url
    try:
        stored = file.read_text("utf-8").split("\n")
    except OSError:
        stored = []
    for (start, end), password in reversed(list(zip_longest(spans, stored[: len(spans)]))):
        if url[start:end] == HIDDEN:
            is_of_user = password is None and url[start - 1] == ":"  # without the colon it has none
            url = url[: start - is_of_user] + (password or "") + url[end:]
    return url


def connection_url(url: str, stored_password: Path) -> str:
    """The URL with which a database is opened.

    Args:
        url: the URL of the sweep file. `${SWEEP_NAME}` is an environment variable. If its password is hidden,
            it is the stored one, or without it what the client finds in PGPASSWORD or `~/.pgpass`.
        stored_password: the file with the passwords.

    Raises:
        EntryError: an environment variable or the driver of the database is missing, SQLAlchemy does not
            know the kind of database, it is in memory, or a password contains an @.
    """
    hidden = hide_passwords(url)
    if url != hidden:
        _given[hidden] = url
    url = _with_stored(_given.get(url, url), stored_password)
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
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise EntryError(
            "storage",
            f"{_hide(url)} is not the URL of a database that SQLAlchemy knows; write for example "
            "sqlite:///sweep.db or postgresql://user@host/database",
        ) from None
    if parsed.get_backend_name() == "sqlite" and (
        parsed.database in (None, "", ":memory:", "file::memory:") or parsed.query.get("mode") == "memory"
    ):
        raise EntryError(
            "storage",
            f"{url} is a database in memory, which is lost when the process ends; write for example "
            "sqlite:///sweep.db",
        )
    if "@" in (parsed.host or ""):
        raise EntryError("storage", f"{_hide(url)} has an @ in its password; write it as %40")
