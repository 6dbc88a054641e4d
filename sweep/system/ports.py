"""A free port of this machine for the processes of one trial."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reserved_port() -> Iterator[int]:
    """Reserve a free TCP port of this machine while the context is entered.

    The port stays bound to a socket that does not listen. So the system gives it to no other program that
    asks for any free port or opens a connection, and trials that start at the same time get different ports.
    A server that sets SO_REUSEADDR, as torch's does, can listen on it meanwhile.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("", 0))
        yield holder.getsockname()[1]
