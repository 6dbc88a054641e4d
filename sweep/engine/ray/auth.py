"""Ray's tokens: a cluster that was started with one talks only to those who have it, and vice versa.

`ray start` demands it once any `ray.init` on the machine has made one. Joining by `auto` sends it, joining by
HOST:PORT does not; and a cluster that has none cannot answer those who expect one: it would take all our
actors for dead. So the cluster is asked first. Ray has no public calls for any of this.
"""

from __future__ import annotations

import logging
import os

from ray.exceptions import AuthenticationError

from sweep.engine.ray.stdio import no_stderr


def match_token_mode(address: str) -> None:
    """Send this user's token to a cluster from now on if it demands one, and none if it does not.

    Args:
        address: of the cluster, HOST:PORT.

    Raises:
        ray.exceptions.RayError: it does not answer.
    """
    from ray._private.authentication.authentication_token_setup import (
        maybe_enable_token_auth_if_token_available,
    )

    logging.getLogger("ray").setLevel(logging.ERROR)
    if _demands_token(address):
        os.environ.pop("RAY_AUTH_MODE")
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def _demands_token(address: str) -> bool:
    from ray._raylet import AuthenticationTokenLoader, Config, GcsClient  # type: ignore[attr-defined]

    os.environ["RAY_AUTH_MODE"] = "disabled"
    Config.initialize("")  # as Ray does it when it turns tokens on
    AuthenticationTokenLoader.instance().reset_cache()
    try:
        with no_stderr():  # where it warns that there was no token
            GcsClient(address=address)
    except AuthenticationError:
        return True
    return False
