"""What was found in an objective's source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass
class Source:
    """What was found.

    Attributes:
        kind: whether it is a function or a script.
        work: what the sweep file's `objective` or `program` is.
        parameters: by name, as a sweep file writes them.
        guessed: the parameters whose values the source does not tell.
        metrics: the names of what is reported, the most likely one first.
        goals: the directions of an Optuna study for it in the same file.
        trials: how many that study runs.
        values: how many values it returns in a tuple, if it does.
        reports: whether it reports while it runs, so that a pruner can judge.
        has_flags: whether some options take no value (`store_true`).
        in_optuna: whether it asks for parameters by `trial.suggest_...`.
        when: the conditions under which it asks for parameters, as a sweep file writes them.
        conditional: the parameters that it asks for under conditions which cannot be told.
        notes: what could not be taken over.
    """

    kind: Literal["function", "script"]
    work: str
    parameters: dict[str, Any] = field(default_factory=dict)
    guessed: set[str] = field(default_factory=set)
    metrics: list[str] = field(default_factory=list)
    goals: list[str] = field(default_factory=list)
    trials: int | None = None
    values: int = 1
    reports: bool = False
    has_flags: bool = False
    in_optuna: bool = False
    when: dict[str, dict[str, Any]] = field(default_factory=dict)
    conditional: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    @property
    def goal(self) -> str | None:
        """The direction of a study that has one."""
        return self.goals[0] if len(self.goals) == 1 else None

    def add(self, name: str, values: Any, *, guessed: bool) -> None:
        """Note a parameter; what the source tells is better than a guess, and the first of either counts."""
        if name not in self.parameters or (name in self.guessed and not guessed):
            self.parameters[name] = values
            (self.guessed.add if guessed else self.guessed.discard)(name)
