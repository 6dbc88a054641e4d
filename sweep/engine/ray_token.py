"""Ray's tokens: a cluster that was started with one talks only to those who have it, and vice versa."""

from __future__ import annotations

import logging
import os

import ray


class _Nobody:
    def answer(self) -> None: ...


def can_be_answered() -> bool:
    """Whether the cluster's calls reach this process.

    A cluster that was started without a token cannot give one; it would take all our actors for dead.
    """
    try:
        ray.get(ray.remote(_Nobody).options(num_cpus=0).remote().answer.remote())
    except ray.exceptions.ActorDiedError:
        return False
    return True


def use_no_token() -> None:
    """Send no token from now on. Ray has no public call for it."""
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

    os.environ["RAY_AUTH_MODE"] = "disabled"
    Config.initialize("")  # as Ray does it when it turns tokens on
    AuthenticationTokenLoader.instance().reset_cache()


def use_token() -> bool:
    """Send the cluster this user's token, if there is one; says whether it is.

    `ray start` demands it once any `ray.init` has made one; joining by `auto` sends it, by HOST:PORT it
    is not sent. Ray has no public call for it.
    """
    from ray._private.authentication.authentication_token_setup import (
        maybe_enable_token_auth_if_token_available,
    )

    logging.getLogger("ray").setLevel(logging.ERROR)
    return bool(maybe_enable_token_auth_if_token_available(warn_if_disabled=False))
