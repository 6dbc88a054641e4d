"""The parameters of a trial, as its objective sees them."""

from __future__ import annotations

from typing import Any

from sweep.errors import suggestion


def _unchangeable(self: Params, *arguments: Any, **more: Any) -> Any:
    raise TypeError("the parameters of a trial cannot be changed; dict(trial.params) is a copy")


class Params(dict[str, Any]):
    """The parameters of a trial: `params["lr"]`, `params.lr`, `**params`. They cannot be changed.

    Those of a group have dotted names: `params["sgd.momentum"]` is `params.sgd.momentum` too.
    """

    __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = _unchangeable

    def __missing__(self, name: str) -> Any:
        raise KeyError(f"no parameter {name!r}; {suggestion(name, self)}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in self:
            return self[name]
        inner = {
            key.removeprefix(f"{name}."): value for key, value in self.items() if key.startswith(f"{name}.")
        }
        if not inner:
            raise AttributeError(f"no parameter {name!r}; {suggestion(name, self)}")
        return Params(inner)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("the parameters of a trial cannot be changed")

    def __reduce__(self) -> Any:
        return Params, (dict(self),)
