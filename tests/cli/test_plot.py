"""`sweep plot` on the command line."""

from __future__ import annotations

import pytest

from sweep.cli.app import app
from sweep.errors import InputError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("demo", "slice"), r"demo: is not a kind of plot; write sweep plot slice demo"),
        (("demo", "history"), r"demo: is not a kind of plot; write sweep plot optimization-history demo"),
        (("slices", "demo"), r"slices: is not a kind of plot; did you mean 'slice'\?"),
    ],
)
def test_a_kind_in_the_place_of_the_name_is_recognized(arguments: tuple[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        app(["plot", *arguments], standalone_mode=False)
