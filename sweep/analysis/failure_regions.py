"""Finds the choices and the ranges of parameters in which trials fail more often than elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sweep.analysis.fisher import at_least, log_factorials, log_probabilities, within_strata

LEAST = 2
"""How many trials of a region must have failed."""
_STRATUM = 8
"""How many trials that followed one another are compared with one another."""
_Z = 2.33
"""The one-sided 1 % quantile of the normal distribution."""
_MOST_CHOICES = 50
"""A parameter with more values than that is not compared value by value."""

Booleans = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Region:
    """A region of the search space in which more trials fail than elsewhere.

    Args:
        name: the parameter's name.
        relation: how its value compares.
        value: the choice, or the threshold.
        failed: how many trials of the region failed.
        trials: how many trials it has.
        failed_elsewhere: how many of the other trials failed.
        trials_elsewhere: how many others there are.
        p: the p value of Fisher's exact test, corrected for all that was tried.
        members: whether each trial belongs to it.
    """

    name: str
    relation: Literal["=", ">", "<", ">=", "<="]
    value: Any
    failed: int
    trials: int
    failed_elsewhere: int
    trials_elsewhere: int
    p: float
    members: Booleans

    @property
    def share(self) -> float:
        """The share of the region's trials that failed."""
        return self.failed / self.trials


@dataclass(frozen=True, eq=False)
class Column:
    """The values of a parameter.

    Args:
        name: its name.
        values: one for each trial; None where it is inactive.
        active: where it is active.
        codes: for each trial, the index of its value among the different ones.
        numbers: the values where they are numbers.
        is_number: where they are.
        is_int: whether all numbers are integers.
    """

    name: str
    values: Sequence[Any]
    active: Booleans
    codes: NDArray[np.int64]
    numbers: NDArray[np.float64]
    is_number: Booleans
    is_int: bool


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A region, before it is tested: `among` are the trials with which it is compared, itself included."""

    relation: Literal["=", ">", "<", ">=", "<="]
    name: str
    value: Any
    inside: Booleans
    among: Booleans
    score: float


def find_regions(
    columns: Sequence[Column], failed: Booleans, among: Booleans, chance: float, is_adaptive: bool
) -> Iterator[Region]:
    """The regions in which trials fail more often than elsewhere, the clearest first.

    A region must pass Fisher's exact test, corrected for what was tried (Bonferroni): each parameter has the
    same share of the chance, and each choice and each threshold of a parameter the same share of that. The
    trials of a region that was found are left out when the next one is looked for.

    If a machine is broken for an hour, its trials fail, whatever their parameters. A sampler that
    learns tries similar parameters within an hour, so a region would be found. So with such a sampler the
    difference must also show among trials that followed one another.

    Args:
        columns: the parameters of the trials, in the order in which they ran.
        failed: whether each of them failed.
        among: which of them are compared.
        chance: the probability that a region is found although failures do not depend on the parameters.
        is_adaptive: whether the sampler chose the parameters by the results of earlier trials.
    """
    rest = among.copy()
    while (failed & rest).sum() >= LEAST and not failed[rest].all():
        found = _clearest(columns, failed, rest, chance, is_adaptive)
        if found is None:
            return
        yield found
        rest &= ~found.members


def _clearest(
    columns: Sequence[Column], failed: Booleans, rest: Booleans, chance: float, is_adaptive: bool
) -> Region | None:
    """The region with the smallest p value, if it is small enough."""
    candidates = []
    for column in columns:
        counted = [_choices(column, failed, rest), _thresholds(column, failed, rest)]
        weight = len(columns) * sum(count for count, _ in counted)
        candidates += [(weight, candidate) for _, found in counted for candidate in found]
    for weight, candidate in sorted(candidates, key=lambda each: math.log(each[0]) + each[1].score):
        if weight * math.exp(candidate.score) > chance:  # the p value is not smaller
            return None
        inside, among = candidate.inside, candidate.among
        hits, size = int((failed & inside).sum()), int(inside.sum())
        marked, total = int((failed & among).sum()), int(among.sum())
        p = weight * at_least(hits, size, marked, total)
        strata = np.arange(total) // _STRATUM
        if p <= chance and (not is_adaptive or within_strata(inside[among], failed[among], strata) >= _Z):
            others = (marked - hits, total - size)
            return Region(candidate.name, candidate.relation, candidate.value, hits, size, *others, p, inside)
    return None


def columns_of(params: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The parameters that differ between trials."""
    columns = []
    for name in dict.fromkeys(name for trial in params for name in trial):
        values = [trial.get(name) for trial in params]
        indices: dict[Any, int] = {}
        codes = np.array([indices.setdefault(_key(value), len(indices)) for value in values])
        if len(indices) == 1:
            continue
        active = np.array([name in trial for trial in params])
        numbers = np.array([_finite(value) for value in values])
        is_number = ~np.isnan(numbers)
        is_int = not any(type(value) is float for value in values)
        columns.append(Column(name, values, active, codes, numbers, is_number, is_int))
    return columns


def _finite(value: Any) -> float:
    """The number; NaN if it is none, or infinite."""
    return float(value) if type(value) in (int, float) and abs(value) < math.inf else math.nan


def _key(value: Any) -> Any:
    """A hashable value by which choices are distinguished: 1 is neither True nor 1.0."""
    return value if type(value) in (float, str) else (type(value).__name__, repr(value))


def _choices(column: Column, failed: Booleans, rest: Booleans) -> tuple[int, list[_Candidate]]:
    """How many values of a parameter were compared with the others, and those with more failures."""
    among = rest & column.active
    sizes = np.bincount(column.codes[among])
    codes = np.flatnonzero(sizes)
    if not 1 < len(codes) <= _MOST_CHOICES:
        return 0, []
    hits = np.bincount(column.codes[among], failed[among]).astype(int)
    marked, total = int((failed & among).sum()), int(among.sum())
    factorial = log_factorials(total)
    candidates = []
    for code in codes:
        if hits[code] >= LEAST and hits[code] * total > marked * sizes[code]:
            score = float(log_probabilities(factorial, hits[[code]], sizes[[code]], marked, total)[0])
            inside = among & (column.codes == code)
            value = column.values[int(np.argmax(inside))]
            candidates.append(_Candidate("=", column.name, value, inside, among, score))
    return len(codes), candidates


def _thresholds(column: Column, failed: Booleans, rest: Booleans) -> tuple[int, list[_Candidate]]:
    """How many ranges of a parameter were compared with the rest, and the best upper and lower one."""
    among = rest & column.is_number
    order = np.flatnonzero(among)[np.argsort(column.numbers[among], kind="stable")]
    ordered, total, marked = column.numbers[order], len(order), int(failed[order].sum())
    cuts = np.flatnonzero(ordered[1:] > ordered[:-1]).astype(np.int64)  # between this place and the next
    below = np.cumsum(failed[order], dtype=np.int64)[cuts]
    factorial = log_factorials(total)
    candidates = []
    for is_upper, hits, sizes in ((True, marked - below, total - 1 - cuts), (False, below, cuts + 1)):
        fits = (hits >= LEAST) & (hits * total > marked * sizes)
        if not fits.any():
            continue
        scores = np.where(fits, log_probabilities(factorial, hits, sizes, marked, total), np.inf)
        best = cuts[int(np.argmin(scores))]
        low, high = float(ordered[best]), float(ordered[best + 1])
        inside = among & (column.numbers >= high if is_upper else column.numbers <= low)
        relation, value = _relation(is_upper, low, high, column.is_int)
        candidates.append(_Candidate(relation, column.name, value, inside, among, float(scores.min())))
    return 2 * len(cuts), candidates


def _relation(is_upper: bool, low: float, high: float, is_int: bool) -> tuple[Any, float]:
    """How to write a range that begins or ends between two values."""
    if is_int:
        return (">=", int(high)) if is_upper else ("<=", int(low))
    between = round_between(low, high)
    if between is None:
        return (">=", high) if is_upper else ("<=", low)
    return (">" if is_upper else "<"), between


def round_between(low: float, high: float) -> float | None:
    """The number with the fewest digits between two others, near their middle; None if there is none."""
    middle = math.sqrt(low * high) if low > 0 else (low + high) / 2
    rounded = (float(f"{middle:.{digits}g}") for digits in range(1, 18))
    return next((number for number in rounded if low < number < high), None)
