"""Enqueued configurations, which run before those that the sampler chooses."""

from __future__ import annotations

from typing import Any

import optuna

from sweep.errors import EntryError
from sweep.space import SearchSpace
from sweep.space.space import EXHAUSTIVE
from sweep.study import attributes
from sweep.study.constrained_sampler import check_feasible
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.model import DEFAULTS


def enqueued_configurations(spec: SweepSpec, space: SearchSpace) -> list[dict[str, Any]]:
    """The sweep file's `enqueue`, as Optuna would have sampled it. Other parameters are sampled later.

    Raises:
        EntryError: a configuration is not in the search space.
    """
    if spec.enqueue and spec.sampler.type in EXHAUSTIVE:
        raise EntryError("enqueue", f"{spec.sampler.type} tries every configuration anyway; remove it")
    points = []
    for index, entry in enumerate(spec.enqueue):
        is_default = entry == DEFAULTS
        if is_default:
            values = space.defaults()
            if not values:
                hint = "give values" if space.is_define_by_run else "add default: to one of them"
                raise EntryError(f"enqueue.{index}", f"no parameter has a default; {hint}")
        else:
            values = entry
        points.append(space.encode(values, f"enqueue.{index}", completes=not is_default))
        check_feasible(space, points[-1], f"enqueue.{index}")
    return points


def enqueue_spec_configurations(study: optuna.Study, spec: SweepSpec, space: SearchSpace) -> None:
    """Enqueue the sweep file's configurations, each only once, even if the sweep is resumed with more."""
    stored = list(study.user_attrs.get(attributes.ENQUEUED, []))
    enqueued = [  # by a session that was killed before it stored ENQUEUED
        trial.system_attrs.get("fixed_params")
        for trial in study.get_trials(deepcopy=False)
        if not trial.user_attrs.keys() & {attributes.TOKEN, attributes.RESUBMISSION_OF}
    ]
    new = [
        point
        for point in enqueued_configurations(spec, space)
        if point not in stored and point not in enqueued
    ]
    for point in new:
        study.enqueue_trial(point)
    if new:
        study.set_user_attr(attributes.ENQUEUED, stored + new)
