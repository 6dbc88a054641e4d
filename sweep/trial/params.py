"""The parameters of a trial, as its objective sees them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, SupportsIndex

import yaml

from sweep.errors import suggestion


def _read_only(self: Params, *arguments: Any, **more: Any) -> Any:
    raise TypeError("the parameters of a trial cannot be changed; dict(trial.params) is a copy")


class Params(dict[str, Any]):
    """The parameters of a trial: `params["lr"]`, `params.lr`, `**params`. They are read-only.

    Those of a group have dotted names: `params["sgd.momentum"]` is `params.sgd.momentum` too.
    """

    __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = _read_only

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
        return type(self)(inner)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("the parameters of a trial cannot be changed by their attributes")

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        # `torch.save` pickles with protocol 2, and `torch.load` (`weights_only`, its default) accepts no
        # subclass of dict but OrderedDict. Copies and messages between processes use a newer protocol.
        if int(protocol) <= 2:
            return OrderedDict, (list(self.items()),)
        return type(self), (dict(self),)


class SuggestedParams(Params):
    """The parameters that the objective has suggested so far: a copy that it can change, as in Optuna."""

    __setitem__ = dict.__setitem__
    __delitem__ = dict.__delitem__
    __ior__ = dict.__ior__
    update = dict.update
    setdefault = dict.setdefault
    pop = dict.pop
    popitem = dict.popitem
    clear = dict.clear


for _representer in (yaml.representer.SafeRepresenter, yaml.representer.Representer):
    _representer.add_multi_representer(Params, lambda dumper, params: dumper.represent_dict(dict(params)))
