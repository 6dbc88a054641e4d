"""The address of a running Ray cluster, as the user gives it."""

from __future__ import annotations

import os
import socket

from sweep.caller import caller
from sweep.engine.ray import private
from sweep.errors import InputError, SweepError

_CONNECT_TIMEOUT = 5.0  # seconds
_CLIENT = "ray://"
_DEFAULT_PORT = "6379"
"""The port of a cluster, if `ray start --head` has been given no other one."""

START_ONE = "start one with: ray start --head; or leave the address out, to start Ray for this sweep alone"


def source_of(address: str) -> str:
    """How the user has set an address."""
    if address == os.environ.get("RAY_ADDRESS"):
        return f"RAY_ADDRESS={address}"
    return caller().option("address", address)


def resolve(address: str) -> str:
    """Check that a cluster listens at an address; returns it as HOST:PORT. Ray itself retries for minutes."""
    if address == "auto":  # Ray prefers its variable, too
        address = os.environ.get("RAY_ADDRESS") or address
    source = source_of(address)
    if address == "auto":
        return _find_running_cluster(source)
    if address.startswith(_CLIENT):
        return _resolve_client_address(address.removeprefix(_CLIENT), source)
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdigit():  # http:// is the address for `ray job`
        raise InputError(
            f"{source}: expected auto, or HOST:PORT of a cluster, for example 10.0.0.1:6379; "
            "or local, to start Ray on this machine"
        )
    try:
        _check_listens(host, port)
    except (OSError, OverflowError) as error:
        raise SweepError(
            f"{source}: the Ray cluster cannot be reached: {error}; `ray start --head` prints the address of "
            "a cluster, local starts Ray on this machine"
        ) from None
    return address


def _resolve_client_address(client: str, source: str) -> str:
    """The address of a cluster itself, from that of its client server (`ray://HOST:10001`).

    Through the client server another process of the cluster would be the driver, on a machine that has
    neither the sweep's directory nor its terminal.
    """
    host = client.rpartition(":")[0] or client
    try:
        _check_listens(host, _DEFAULT_PORT)
    except (OSError, OverflowError):
        raise InputError(
            f"{source}: a sweep does not run through Ray's client server, and no cluster answers at "
            f"{host}:{_DEFAULT_PORT}; write the HOST:PORT that `ray start --head` has printed, or start the "
            "sweep in the cluster: ray job submit --address http://HOST:8265 -- sweep run FILE"
        ) from None
    return f"{host}:{_DEFAULT_PORT}"


def _find_running_cluster(source: str) -> str:
    try:
        address = private.find_running_cluster()
        host, _, port = address.rpartition(":")
        _check_listens(host, port)  # Ray remembers the address of one that was killed
    except OSError:
        raise InputError(f"{source}: no Ray is running on this machine; {START_ONE}") from None
    return address


def _check_listens(host: str, port: str) -> None:
    socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT).close()
