"""Enqueued configurations, which run before those that the sampler chooses."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import optuna

from sweep.errors import EntryError
from sweep.space import SearchSpace
from sweep.space.space import EXHAUSTIVE
from sweep.study import attributes
from sweep.study.constrained_sampler import check_feasible
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.model import DEFAULTS


def enqueued_configurations(
    spec: SweepSpec, space: SearchSpace, known: Collection[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """The sweep file's `enqueue`, as Optuna would have sampled it. Other parameters are sampled later.

    Args:
        spec: the sweep.
        space: its search space.
        known: the configurations that have been enqueued, perhaps by an earlier version. An entry that is
            among them stays as it was enqueued.

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
        point = space.encode(values, f"enqueue.{index}", completes=False)
        before = _certain(space, point) if is_default else point
        if before in known:
            points.append(before)
            continue
        if not is_default:
            point = space.encode(values, f"enqueue.{index}")
        if point not in known:
            check_feasible(space, point, f"enqueue.{index}")
        points.append(point)
    return points


def _certain(space: SearchSpace, point: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a configuration that count, whatever is sampled: earlier versions enqueued no others."""
    variables = [space.variables[name] for name in space.complete(point) if name in space.variables]
    return {variable.key: point[variable.key] for variable in variables}


def enqueued_before(study: optuna.Study) -> list[dict[str, Any]]:
    """The configurations of the sweep file that have been enqueued in a study."""
    by_a_killed_session = [  # before it stored ENQUEUED
        trial.system_attrs["fixed_params"]
        for trial in study.get_trials(deepcopy=False)
        if "fixed_params" in trial.system_attrs
        and not trial.user_attrs.keys() & {attributes.TOKEN, attributes.RESUBMISSION_OF}
    ]
    return [*study.user_attrs.get(attributes.ENQUEUED, []), *by_a_killed_session]


def enqueue_spec_configurations(study: optuna.Study, spec: SweepSpec, space: SearchSpace) -> None:
    """Enqueue the sweep file's configurations, each only once, even if the sweep is resumed with more."""
    known = enqueued_before(study)
    new = [point for point in enqueued_configurations(spec, space, known) if point not in known]
    for point in new:
        study.enqueue_trial(point)
    if new:
        stored = study.user_attrs.get(attributes.ENQUEUED, [])
        study.set_user_attr(attributes.ENQUEUED, [*stored, *new])
