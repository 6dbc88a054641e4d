"""`make_dashboard`: optuna-dashboard on the study of a sweep, read-only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna

from sweep.errors import InputError
from sweep.rendering.extras import require
from sweep.study.private import id_of, storage_of

_Application = Callable[[Mapping[str, Any], Callable[..., Any]], Iterable[bytes]]
_READING = ("GET", "HEAD")
_REFUSAL = "The dashboard of a sweep is read-only: notes, tags and changes of trials are not stored."


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def make_dashboard(study: optuna.Study, port: int | None) -> tuple[WSGIServer, str]:
    """A server on 127.0.0.1 that has not started to serve, and the address of the study.

    It refuses every request that would change the study, such as a note: only the process that runs the sweep
    writes to it.

    Args:
        study: the study.
        port: the port; None for a free one.

    Raises:
        SweepError: optuna-dashboard is not installed.
        InputError: the port is not free.
    """
    dashboard = require("optuna_dashboard._app", "a dashboard", "dashboard")
    app = _read_only(dashboard.create_app(storage_of(study)))
    try:
        server = make_server("127.0.0.1", port or 0, app, _Server, _Quiet)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"--port {port}: {why}; choose another port, or leave it out") from None
    return server, f"http://127.0.0.1:{server.server_port}/dashboard/studies/{id_of(study)}"


def _read_only(app: _Application) -> _Application:
    def respond(environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in _READING:
            return app(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "application/json")])
        return [json.dumps({"reason": _REFUSAL}).encode()]

    return respond
