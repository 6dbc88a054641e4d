"""The private parts of Ray that decide about its token. Checked with Ray 2.60.

Ray has no public function to ask whether a cluster requires a token, or to require one.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ray._raylet import AuthenticationTokenLoader, Config, GcsClient  # type: ignore[attr-defined]
from ray.exceptions import AuthenticationError

from sweep.system.durable import write_private


def match_authentication(address: str) -> bool:
    """From now on, send the user's token to a cluster only if the cluster requires one.

    `ray start` requires a token as soon as any `ray.init` on the machine has created one. `ray.init` with
    HOST:PORT does not send it. But a cluster without a token does not answer clients that expect one: to them
    all actors look dead. So the cluster is asked first. Ray has no public function for any of this.

    Args:
        address: the cluster's address, HOST:PORT.

    Returns:
        whether the cluster requires a token.

    Raises:
        ray.exceptions.RayError: the cluster does not answer.
    """
    set_authentication("disabled")
    try:
        with _no_stderr():  # a client without a token prints a warning
            GcsClient(address=address)
    except AuthenticationError:
        set_authentication("token")
        return True
    return False


@contextmanager
def required_token() -> Iterator[None]:
    """Inside the block, a Ray that is started requires a token, even if RAY_AUTH_MODE is `disabled`.

    Ray's processes listen on all interfaces, and run the code of everybody who has the token. Its file, which
    Ray would create for all users of the machine to read, is made readable for this user only. Without a
    home directory, or if that is read-only, as in a container, the token is in the environment.
    """
    mode = os.environ.get("RAY_AUTH_MODE", "token")
    if mode.lower() != "token":
        set_authentication("token")
    try:
        _provide_token()
        yield
    finally:
        if mode.lower() != "token":
            set_authentication(mode)


def _provide_token() -> None:
    if "RAY_AUTH_TOKEN" in os.environ:
        return
    with _no_stderr():  # without HOME it prints a warning
        has_token = AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True)
    try:
        if not Path.home().is_dir():
            raise FileNotFoundError  # it would be created
        token = Path.home() / ".ray" / "auth_token"
        if not has_token:
            _create_token(token)
        elif token.exists() and token.stat().st_mode & 0o077:
            token.chmod(0o600)
    except (OSError, RuntimeError):
        if has_token:
            return  # in a file of RAY_AUTH_TOKEN_PATH, or one that belongs to another user
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    AuthenticationTokenLoader.instance().reset_cache()


def _create_token(path: Path) -> None:
    """Write a new token to Ray's file, unless another process is faster."""
    path.parent.mkdir(exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    write_private(new, secrets.token_hex(32))
    try:
        with suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink()


def set_authentication(mode: str) -> None:
    """From now on, use a token or none: `token` or `disabled`."""
    os.environ["RAY_AUTH_MODE"] = mode
    Config.initialize("")  # reads the environment again
    AuthenticationTokenLoader.instance().reset_cache()


def current_token() -> str:
    """The token of this process's Ray; empty if it needs none."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        return ""
    return str(AuthenticationTokenLoader.instance().get_raw_token(ignore_auth_mode=True))


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Discard what this process writes to file descriptor 2: Ray's C++ code cannot be silenced otherwise."""
    sys.stderr.flush()
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(null)
        os.close(saved)
