"""Configurations to be tried before those of the sampler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from sweep.errors import EntryError
from sweep.space import SearchSpace
from sweep.space.space import EXHAUSTIVE
from sweep.study import study as attributes
from sweep.study.constrained_sampler import check_feasible
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.model import DEFAULTS


def start_points(spec: SweepSpec, space: SearchSpace) -> list[dict[str, Any]]:
    """The sweep file's `enqueue`, as Optuna would have sampled it; what is not named is sampled later.

    Raises:
        EntryError: a configuration is not in the space.
    """
    if spec.enqueue and spec.sampler.type in EXHAUSTIVE:
        raise EntryError("enqueue", f"{spec.sampler.type} tries every configuration anyway; leave it out")
    points = []
    for index, entry in enumerate(spec.enqueue):
        if entry == DEFAULTS:
            values = space.defaults()
            if not values:
                hint = "give values" if space.is_define_by_run else "write default: beside one"
                raise EntryError(f"enqueue.{index}", f"no parameter has a default; {hint}")
        else:
            values = entry
        points.append(space.encode(values, f"enqueue.{index}"))
        check_feasible(space, points[-1], f"enqueue.{index}")
    return points


def enqueue_start_points(study: optuna.Study, spec: SweepSpec, space: SearchSpace) -> None:
    """Enqueue those that have not been: each once in the life of a sweep, also if more are written later."""
    known = list(study.user_attrs.get(attributes.ENQUEUED, []))
    begun = [  # whoever was at it before may have been killed
        trial.system_attrs.get("fixed_params")
        for trial in study.get_trials(deepcopy=False)
        if not trial.user_attrs.keys() & {attributes.TOKEN, attributes.RESUBMISSION_OF}
    ]
    news = [point for point in start_points(spec, space) if point not in known and point not in begun]
    for point in news:
        study.enqueue_trial(point)
    if news:
        study.set_user_attr(attributes.ENQUEUED, known + news)


def enqueue_configurations(study: optuna.Study, points: Iterable[Mapping[str, Any]], token: str) -> int:
    """Enqueue configurations given by hand; says how many.

    Args:
        study: the sweep's.
        points: as Optuna would have sampled them.
        token: of the wish; asked a second time with the same one, nothing happens.
    """
    if is_enqueued(study.get_trials(deepcopy=False), token):
        return 0
    points = list(points)
    for point in points:
        study.enqueue_trial(dict(point), user_attrs={attributes.TOKEN: token})
    return len(points)


def is_enqueued(trials: Iterable[FrozenTrial], token: str) -> bool:
    """Whether the wish with this token has been fulfilled."""
    return any(trial.user_attrs.get(attributes.TOKEN) == token for trial in trials)
