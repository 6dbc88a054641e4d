"""The part of a trial that has the interface of an Optuna trial."""

from __future__ import annotations

import datetime
import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NoReturn, SupportsIndex

from typing_extensions import Self

from sweep.errors import suggestion
from sweep.messages import RESERVED_PREFIX, Assignment, TrialAttribute
from sweep.tracking.hparams import cells_of_suggested
from sweep.tracking.run_logger import RunLogger
from sweep.trial.choices import check_text, choice_labels, find_choice
from sweep.trial.declared import Domain, difference
from sweep.trial.params import Params, SuggestedParams
from sweep.trial.scalars import as_number

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import StudyDirection

    from sweep.trial.channel import Channel

_WRONG_PROCESS = (
    "a trial belongs to the process in which its objective was called; send values there, for example "
    "through a queue, and report them there"
)


@dataclass(frozen=True)
class StudyInfo:
    """The information about a trial's study, as `trial.study`. The study itself is in the controller.

    Args:
        study_name: the sweep's name.
        goals: "minimize" or "maximize", for each metric that is optimized.
        domains: the bounds or choices of declared parameters.
    """

    study_name: str
    goals: tuple[str, ...]
    domains: Mapping[str, Domain] = field(default_factory=dict)

    @property
    def directions(self) -> list[StudyDirection]:
        """The goals as Optuna's directions."""
        from optuna.study import StudyDirection

        return [StudyDirection[goal.upper()] for goal in self.goals]

    @property
    def direction(self) -> StudyDirection:
        """The direction of the only goal.

        Raises:
            RuntimeError: there are several goals, as in Optuna.
        """
        if len(self.goals) > 1:
            raise RuntimeError("a sweep with several goals has no single direction; use directions")
        return self.directions[0]

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"trial.study has no {name!r}: the study lives in the sweep's controller; "
            "use study_name, direction or directions here, rules of stop or a callback to stop it, and "
            "the result's study afterwards"
        )


class TrialStorage:
    """The part of a study's storage that helpers of Optuna use in an objective: attributes of this trial."""

    def __init__(self, trial: OptunaTrial) -> None:
        self._trial = trial

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Store an attribute of the trial; see `OptunaTrial.set_user_attr`."""
        self._check(trial_id)
        self._trial.set_user_attr(key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Store a system attribute of the trial, as `report_cross_validation_scores` does."""
        self._check(trial_id)
        self._trial._set_attribute(key, value, "system")

    def _check(self, trial_id: int) -> None:
        if trial_id != self._trial._trial_id:
            raise ValueError("trial.storage stores attributes of this trial only; use trial._trial_id")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"trial.storage has no {name!r}: the storage is in the sweep's controller; use the methods of "
            "the trial here, and the result's study afterwards"
        )


class OptunaTrial:
    """The interface of an Optuna trial, as a virtual subclass of `optuna.trial.Trial`.

    It does not inherit from it, because a worker whose objective does not need Optuna does not import it.

    With declared parameters, `suggest_float("lr", ...)` returns the trial's `lr`, whatever its arguments are.
    With `parameters: define-by-run` the controller's Optuna trial suggests the value, so that samplers can
    sample parameters jointly.

    Attributes:
        number: the trial's number, from 0.
        study: the name and the directions of the trial's study.
        storage: stores attributes of this trial, for helpers of Optuna.
        notes: messages for the user, by the parameter that they are about.
    """

    def __init__(
        self,
        assignment: Assignment,
        run: RunLogger,
        channel: Channel,
        is_define_by_run: bool,
        study: StudyInfo,
    ) -> None:
        self.study = study
        self.storage = TrialStorage(self)
        self.notes: dict[str, str] = {}
        self.number = self._trial_id = assignment.number
        self._params = dict(assignment.params)
        self._distributions: dict[str, BaseDistribution] = {}
        self._attributes: dict[str, dict[str, Any]] = {"user": {}, "system": {}}
        self._constraints: dict[str, float] = {}
        self._started = assignment.session.started
        self._cells = dict(assignment.session.cells)
        self._run = run
        self._unchecked_channel = channel
        self._process = os.getpid()
        self._is_define_by_run = is_define_by_run
        if is_define_by_run or "optuna" in sys.modules:
            from optuna.trial import Trial

            Trial.register(type(self))

    @property
    def _channel(self) -> Channel:
        """The connection to the controller.

        Raises:
            RuntimeError: as `_check_process`.
        """
        self._check_process()
        return self._unchecked_channel

    def _check_process(self) -> None:
        """Check that this process was not forked by the objective: it has no thread that sends messages.

        Raises:
            RuntimeError: it was.
        """
        if os.getpid() != self._process:
            raise RuntimeError(_WRONG_PROCESS)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(_WRONG_PROCESS)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Mapping[int, Any]) -> Self:
        return self  # Lightning's save_hyperparameters, for example, copies all arguments

    @property
    def params(self) -> Params:
        """The trial's parameters. With `parameters: define-by-run`, a copy of those suggested so far."""
        return SuggestedParams(self._params) if self._is_define_by_run else Params(self._params)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Suggest a number from `low` to `high`.

        Args:
            name: the parameter's name.
            low: the lowest possible value.
            high: the highest possible value; with `step` the last step at or below it.
            step: the distance between possible values.
            log: whether to sample on a logarithmic scale.

        Raises:
            ValueError: the arguments contradict each other, or the sweep declares other parameters.
        """
        value = self._suggest(name, "FloatDistribution", low=low, high=high, step=step, log=log)
        return float(_number(name, value, "a number"))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Suggest a whole number from `low` to `high`; see `suggest_float`."""
        value = self._suggest(name, "IntDistribution", low=low, high=high, step=step, log=log)
        return int(_number(name, value, "a whole number"))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Suggest one of `choices`.

        The study stores numbers, strings, booleans and None; numpy's numbers are stored as Python's. Anything
        else (a class, a tuple) is stored as its name or its `repr`.

        Raises:
            ValueError: the parameter had different choices before, two choices have the same name, a choice
                has no name that is the same in every process, the sweep declares other parameters, or the
                parameter was enqueued with a value that is not one of the choices.
        """
        choices = list(choices)
        labels = choice_labels(name, choices)
        value = self._suggest(name, "CategoricalDistribution", choices=labels)
        if not self._is_define_by_run:
            return value
        index = find_choice(value, labels)
        if index is None:
            raise ValueError(f"{name} is {value!r}, which is not one of its choices: {labels}")
        self._params[name] = choices[index]
        return choices[index]

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        """Deprecated in Optuna: `suggest_float`."""
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        """Deprecated in Optuna: `suggest_float(..., log=True)`."""
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        """Deprecated in Optuna: `suggest_float(..., step=q)`."""
        return self.suggest_float(name, low, high, step=q)

    def set_user_attr(self, key: str, value: Any) -> None:
        """Store an attribute of the trial, which `sweep trials --format json` and `study.trials` show.

        Args:
            key: the attribute's name.
            value: a value that JSON can represent, or numbers and arrays of numpy.

        Raises:
            TypeError: JSON cannot represent `value`.
            ValueError: the name begins with `sweep:`.
        """
        self._set_attribute(key, value, "user")

    def _set_attribute(self, key: str, value: Any, kind: Literal["user", "system"]) -> None:
        if str(key).startswith(RESERVED_PREFIX):
            raise ValueError(
                f"{key!r}: names that begin with {RESERVED_PREFIX!r} are reserved; choose another one"
            )
        try:
            text = json.dumps(value, default=_json_default, ensure_ascii=False)
            # Surrogates, as in file names that are not UTF-8, cannot be stored or displayed.
            plain = json.loads(text.encode("utf-8", "replace"))
        except (TypeError, ValueError) as error:
            raise TypeError(f"the attribute {key!r} cannot be stored: {error}") from None
        self._attributes[kind][str(key)] = plain
        self._channel.report(TrialAttribute(str(key), plain, kind))

    def set_constraint(self, key: str, value: float) -> None:
        """Set the value of a constraint, which is violated above 0.

        Samplers that support constraints (TPE, GP, NSGA-II) prefer trials that satisfy all of them. Only such
        a trial can be the best one.

        The first call for a key counts in each attempt; the value of a later attempt replaces that of an
        earlier one. With `repeats`, the values are reduced to one as the metrics are. If the key is the name
        of a metric with a limit, both must hold.

        Raises:
            ValueError: `value` is not a number.
        """
        number = as_number(value, f"the constraint {key!r}")
        if math.isnan(number):
            raise ValueError(f"the constraint {key!r} is NaN; it must be a number")
        if key not in self._constraints:
            self._constraints[key] = number
            self._channel.report(TrialAttribute(key, number, "constraint"))

    @property
    def user_attrs(self) -> dict[str, Any]:
        """The attributes that this attempt has stored with `set_user_attr`."""
        return dict(self._attributes["user"])

    @property
    def constraints(self) -> dict[str, float]:
        """The constraints that this attempt has set with `set_constraint`."""
        return dict(self._constraints)

    @property
    def system_attrs(self) -> dict[str, Any]:
        """The attributes that helpers of Optuna have stored in this attempt. All others are in the study."""
        return dict(self._attributes["system"])

    @property
    def relative_params(self) -> NoReturn:
        """Not available: parameters are sampled in the controller.

        Raises:
            AttributeError: always.
        """
        raise AttributeError(
            "a sweep's trial has no relative_params: parameters are sampled in the sweep's controller; "
            "use trial.params"
        )

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The distributions of the parameters suggested so far."""
        return dict(self._distributions)

    @property
    def datetime_start(self) -> datetime.datetime:
        """The start of this attempt, in local time without a time zone, as in Optuna."""
        return datetime.datetime.fromtimestamp(self._started)

    def _suggest(self, name: str, distribution: str, **options: Any) -> Any:
        if not self._is_define_by_run:
            if name not in self._params:
                raise ValueError(
                    f"the sweep declares no parameter {name!r} for this trial; "
                    f"{suggestion(name, self._params)} (not required with parameters: define-by-run)"
                )
            domain = list(options["choices"]) if "choices" in options else (options["low"], options["high"])
            if note := difference(name, self.study.domains, domain):
                self.notes.setdefault(name, note)
            return self._params[name]
        check_text(name, "a parameter's name")
        from optuna import distributions

        make: Callable[..., BaseDistribution] = getattr(distributions, distribution)
        parameter = make(**options)
        answer = self._channel.suggest(name, parameter)
        if answer.problem:
            raise ValueError(answer.problem)
        self._params[name] = answer.value
        self._distributions[name] = parameter
        self._cells = {**self._cells, **cells_of_suggested({name: answer.value}, self._distributions)}
        self._run.set_cells(self._cells)
        return answer.value


def _number(name: str, value: Any, kind: str) -> float:
    """Check that the value of a parameter that the sweep declares is of the kind that the objective suggests.

    Raises:
        ValueError: it is not.
    """
    if isinstance(value, (int, float)) and (kind == "a number" or value == int(value)):
        return value
    raise ValueError(
        f"{name} is {value!r} here, and the objective suggests {kind}; make the sweep declare one"
    )


def _json_default(value: Any) -> Any:
    """A numpy value or a tensor as Python lists and numbers, for `json.dumps`."""
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"JSON cannot represent {type(value).__name__}")
