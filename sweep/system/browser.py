"""Opens pages in a browser, where there is one, and says how to reach them where there is none."""

from __future__ import annotations

import getpass
import os
import shlex
import sys
import webbrowser
from contextlib import suppress


def open_page(url: str) -> bool:
    """Open a page in the browser of this machine's desktop; returns whether there is one.

    BROWSER chooses one. Over SSH there is none without it: a browser would start on the wrong screen.
    Browsers in a terminal are not used: they would take it.
    """
    with suppress(webbrowser.Error, OSError):
        if os.environ.get("BROWSER"):
            return webbrowser.open(url)
        has_desktop = sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
        if has_desktop and "SSH_CONNECTION" not in os.environ:
            browser = webbrowser.get()
            return type(browser) is not webbrowser.GenericBrowser and browser.open(url)
    return False


def forwarding_command(port: int) -> str | None:
    """The command by which the user's own machine reaches a local port of this one; None if not over SSH."""
    connection = os.environ.get("SSH_CONNECTION", "").split()
    if len(connection) != 4:
        return None
    _, _, host, ssh_port = connection
    command = ["ssh", "-N", "-L", f"{port}:localhost:{port}"]
    command += [] if ssh_port == "22" else ["-p", ssh_port]
    return shlex.join([*command, f"{_user()}@{host}"])


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container with an unknown user
        return str(os.getuid())
