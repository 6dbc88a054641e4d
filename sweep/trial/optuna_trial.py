"""The part of a trial that Optuna's objectives know: they run unchanged."""

from __future__ import annotations

import datetime
import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex

from typing_extensions import Self

from sweep.errors import suggestion
from sweep.messages import RESERVED_PREFIX, Assignment, TrialAttribute
from sweep.tracking.hparams import found_cells
from sweep.tracking.run import RunDirectory
from sweep.trial.params import Params, ParamsSoFar
from sweep.trial.scalars import as_number

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import StudyDirection

    from sweep.trial.channel import Channel

_BELONGS = (
    "a trial belongs to the process in which its objective was called; send values there, for example "
    "through a queue, and report them there"
)
_STORABLE = (type(None), bool, int, float, str)


@dataclass(frozen=True)
class StudyInfo:
    """What a trial knows of its study, as `trial.study`; the study itself lives in the controller.

    Args:
        study_name: the sweep's name.
        goals: "minimize" or "maximize", for each value.
    """

    study_name: str
    goals: tuple[str, ...]

    @property
    def directions(self) -> list[StudyDirection]:
        """Optuna's words for the goals."""
        from optuna.study import StudyDirection

        return [StudyDirection[goal.upper()] for goal in self.goals]

    @property
    def direction(self) -> StudyDirection:
        """That of the only goal.

        Raises:
            RuntimeError: there are several, as Optuna's study raises then.
        """
        if len(self.goals) > 1:
            raise RuntimeError("a single direction cannot be had of a sweep with several goals")
        return self.directions[0]

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"trial.study has no {name!r}: the study lives in the sweep's controller; "
            "there are study_name, direction and directions"
        )


class OptunaTrial:
    """What `optuna.trial.BaseTrial` has, by which `isinstance` knows it too.

    It does not inherit from that: a worker whose objective needs no Optuna does not import it.

    With declared parameters, `suggest_float("lr", ...)` gives the trial's `lr`, whatever range it names. With
    `parameters: define-by-run` the controller's live Optuna trial is asked, so that what a sampler draws
    jointly stays together, however far away the objective runs.

    Attributes:
        number: the trial's number, from 0.
        study: a little of the trial's study.
    """

    def __init__(
        self,
        assignment: Assignment,
        run: RunDirectory,
        channel: Channel,
        is_define_by_run: bool,
        study: StudyInfo,
    ) -> None:
        self.study = study
        self.number = assignment.number
        self._params = dict(assignment.params)
        self._distributions: dict[str, BaseDistribution] = {}
        self._user_attrs: dict[str, Any] = {}
        self._constraints: dict[str, float] = {}
        self._started = assignment.session.started
        self._cells = dict(assignment.session.cells)
        self._run = run
        self._own_channel = channel
        self._process = os.getpid()
        self._is_define_by_run = is_define_by_run
        if is_define_by_run or "optuna" in sys.modules:
            from optuna.trial import BaseTrial

            BaseTrial.register(type(self))

    @property
    def _channel(self) -> Channel:
        """The connection to the controller.

        Raises:
            RuntimeError: this is a process that the objective has forked. The thread that sends is not there.
        """
        if os.getpid() != self._process:
            raise RuntimeError(_BELONGS)
        return self._own_channel

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(_BELONGS)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Mapping[int, Any]) -> Self:
        return self  # what keeps its arguments copies them all, as Lightning's save_hyperparameters does

    @property
    def params(self) -> Params:
        """The trial's parameters. With `parameters: define-by-run`, those that have been asked for, in a copy
        that may be changed."""
        return ParamsSoFar(self._params) if self._is_define_by_run else Params(self._params)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number from `low` to `high`.

        Args:
            name: the parameter's.
            low: the lowest possible value.
            high: the highest possible value; one with `step` only if a step leads there.
            step: between possible values.
            log: whether orders of magnitude are equally likely.

        Raises:
            ValueError: the arguments contradict each other, or the parameter is not among the declared ones.
        """
        return float(self._suggest(name, "FloatDistribution", low=low, high=high, step=step, log=log))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number from `low` to `high`; otherwise as `suggest_float`."""
        return int(self._suggest(name, "IntDistribution", low=low, high=high, step=step, log=log))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of `choices`.

        Optuna stores numbers, words, true, false and None; numpy's numbers become Python's there. Of anything
        else (a class, a tuple) its name, or what `repr` says, stands in the study.

        Raises:
            ValueError: the same name has stood for other choices, or a choice has no name of its own, or one
                that another choice has too; or the parameter is not among the declared ones, or was enqueued
                with a value that is none of the choices.
        """
        choices = list(choices)
        labels = _labels(name, choices)
        found = self._suggest(name, "CategoricalDistribution", choices=labels)
        if not self._is_define_by_run:
            return found
        place = _place(found, labels)
        if place is None:
            raise ValueError(f"{name} is {found!r}, which is none of its choices: {labels}")
        self._params[name] = choices[place]
        return choices[place]

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        """Optuna's old name for `suggest_float`."""
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        """Optuna's old name for `suggest_float(..., log=True)`."""
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        """Optuna's old name for `suggest_float(..., step=q)`."""
        return self.suggest_float(name, low, high, step=q)

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep something with the trial: `sweep trials --format json` and `study.trials` show it.

        Args:
            key: its name.
            value: what JSON can hold; numpy's numbers and arrays too.

        Raises:
            TypeError: `value` is something else.
            ValueError: the name begins with `sweep:`.
        """
        if str(key).startswith(RESERVED_PREFIX):
            raise ValueError(
                f"{key!r}: names that begin with {RESERVED_PREFIX!r} are the sweep's own; choose another one"
            )
        try:
            text = json.dumps(value, default=_as_plain, ensure_ascii=False)
            # Half a character, as in names of files that are no UTF-8, is nothing that could be shown.
            plain = json.loads(text.encode("utf-8", "replace"))
        except (TypeError, ValueError) as error:
            raise TypeError(f"the attribute {key!r} cannot be stored: {error}") from None
        self._user_attrs[str(key)] = plain
        self._channel.report(TrialAttribute(str(key), plain))

    def set_constraint(self, key: str, value: float) -> None:
        """Say how far the trial is beyond a limit: up to 0 it keeps within it. The first word counts.

        Samplers that know constraints (TPE, GP, NSGA-II) turn to trials that keep within all limits, and only
        these can be the best.

        Raises:
            ValueError: `value` is no number.
        """
        number = as_number(value, f"the constraint {key!r}")
        if math.isnan(number):
            raise ValueError(f"the constraint {key!r} is NaN; it has to be a number")
        if key not in self._constraints:
            self._constraints[key] = number
            self._channel.report(TrialAttribute(key, number, is_constraint=True))

    @property
    def user_attrs(self) -> dict[str, Any]:
        """What this attempt has kept with `set_user_attr`."""
        return dict(self._user_attrs)

    @property
    def constraints(self) -> dict[str, float]:
        """What this attempt has said with `set_constraint`."""
        return dict(self._constraints)

    @property
    def system_attrs(self) -> dict[str, Any]:
        """Nothing: they stay with the study."""
        return {}

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Those of the parameters that have been asked for."""
        return dict(self._distributions)

    @property
    def datetime_start(self) -> datetime.datetime:
        """When this attempt began, as local time without a zone, like Optuna's."""
        return datetime.datetime.fromtimestamp(self._started)

    def _suggest(self, name: str, distribution: str, **options: Any) -> Any:
        if not self._is_define_by_run:
            if name not in self._params:
                raise ValueError(
                    f"the sweep declares no parameter {name!r} for this trial; "
                    f"{suggestion(name, self._params)} (with parameters: define-by-run it need not)"
                )
            return self._params[name]
        _check_text(name, "a parameter's name")
        from optuna import distributions

        make: Callable[..., BaseDistribution] = getattr(distributions, distribution)
        of = make(**options)
        answer = self._channel.suggest(name, of)
        if answer.problem:
            raise ValueError(answer.problem)
        self._params[name] = answer.value
        self._distributions[name] = of
        self._cells = {**self._cells, **found_cells({name: answer.value}, self._distributions)}
        self._run.found(self._cells)
        return answer.value


def _labels(name: str, choices: Sequence[Any]) -> list[Any]:
    """What stands for the choices in the study.

    Raises:
        ValueError: the study would not tell one from another, or from itself in another process.
    """
    labels = [_label(name, choice) for choice in choices]
    for label in labels:
        if isinstance(label, str):
            _check_text(label, f"{name}: a choice")
    first: dict[Any, Any] = {}
    for choice, label in zip(choices, labels, strict=True):
        twin = first.setdefault((type(label), label), choice)
        if twin is not choice and not (_is_storable(twin) and _is_storable(choice)):
            raise ValueError(
                f"{name}: two choices are called {label!r}; give words, and look up in a dictionary what "
                "they stand for"
            )
    return labels


def _check_text(text: Any, what: str) -> None:
    """See that TensorBoard's records and the study can hold it: what is in the study stays there.

    Raises:
        ValueError: they cannot.
    """
    if not isinstance(text, str):
        raise ValueError(f"{what} is {text!r}; it has to be a word")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} is {text!r}, which is no Unicode text") from None


def _label(name: str, choice: Any) -> Any:
    choice = _single(choice)
    if type(choice) in _STORABLE:
        return choice
    if _is_storable(choice):  # members of enums, numpy's floats: as another process reads them
        return json.loads(json.dumps(choice))
    label = getattr(choice, "__name__", None) or repr(choice)
    if " at 0x" in label:
        raise ValueError(
            f"{name}: the choice {label} has no name that is the same in every process; "
            "give words, and look up in a dictionary what they stand for"
        )
    return label


def _is_storable(choice: Any) -> bool:
    return isinstance(_single(choice), _STORABLE)


def _single(choice: Any) -> Any:
    """A number of numpy's, or a tensor with one, as Python's; all else as it is."""
    return choice.tolist() if getattr(choice, "ndim", None) == 0 and hasattr(choice, "tolist") else choice


def _place(found: Any, labels: Sequence[Any]) -> int | None:
    """Which of the choices it is that the study, or somebody's hand, has named."""
    for place, label in enumerate(labels):
        if type(label) is type(found) and (label == found or (label != label and found != found)):
            return place
    # Who enqueues 1 for true, or 1.0 for 1, means what is equal to it; Optuna takes it so, too.
    return labels.index(found) if found in labels else None


def _as_plain(value: Any) -> Any:
    """A numpy value or a tensor as Python's."""
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"JSON has nothing for {type(value).__name__}")
