"""A function that takes a trial, as its source has it."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable
from typing import Any, get_args

from sweep.objective.source import guesses
from sweep.objective.source.conditions import Conditions, calls_with_conditions, when
from sweep.objective.source.found import Source
from sweep.objective.source.reader import Reader
from sweep.objective.source.syntax import Function, arguments_of, keys_of, keywords_of, text_of


class FunctionReader(Reader):
    """Reads a function, and those functions of its file to which it gives the trial or its parameters."""

    def __init__(self, tree: ast.Module, constants: dict[str, Any], source: Source) -> None:
        super().__init__(tree, constants, source)
        self._functions = {node.name: node for node in tree.body if isinstance(node, Function)}
        self._seen: set[tuple[str, frozenset[str], frozenset[str], Conditions]] = set()
        self._inside: list[str] = []
        self._asked: dict[str, list[Conditions]] = {}

    def read(self, function: Function) -> None:
        trial = [*function.args.posonlyargs, *function.args.args]
        names = [argument.arg for argument in trial if argument.arg not in ("self", "cls")][:1]
        self._read(function, frozenset(names), frozenset(), ())
        self._note_conditions()
        inner = {
            id(node)
            for below in ast.walk(function)
            if below is not function and isinstance(below, (*get_args(Function), ast.Lambda))
            for node in ast.walk(below)
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Return) and id(node) not in inner:
                self.source.metrics += keys_of(node.value)
                if self.source.in_optuna and isinstance(node.value, ast.Tuple):
                    self.source.values = len(node.value.elts)
        if not self.source.metrics:
            self.source.metrics += self._names_of_returned(function)

    def _read(
        self, function: Function, trials: frozenset[str], params: frozenset[str], above: Conditions
    ) -> None:
        """Read a function, and those that it calls with what is the trial, or its parameters, in it.

        Args:
            function: which one.
            trials: the names that the trial has in it.
            params: the names that its parameters have in it.
            above: what holds where it is called.
        """
        key = (function.name, trials, params, above)
        if key in self._seen or function.name in self._inside:
            return
        self._seen.add(key)
        self._inside.append(function.name)

        def is_trial(node: ast.AST) -> bool:
            return isinstance(node, ast.Name) and node.id in trials

        def is_params(node: ast.AST) -> bool:
            return (isinstance(node, ast.Name) and node.id in params) or (
                isinstance(node, ast.Attribute) and node.attr == "params" and is_trial(node.value)
            )

        for node in ast.walk(function):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if is_params(value):
                    params |= {name}
        self.read_mapping(function, is_params)
        choices = self._choices_in(function, is_trial)
        found = sorted(
            calls_with_conditions(function, self.constants),
            key=lambda one: (one[0].lineno, one[0].col_offset),
        )
        for call, conditions in found:
            here = (*above, *(condition.about(choices) for condition in conditions))
            match call.func:
                case ast.Attribute(value=value, attr=method) if is_trial(value):
                    self._read_call(method, call, here)
                case ast.Name(id=name) if name in self._functions:
                    below = self._functions[name]
                    names = [argument.arg for argument in [*below.args.posonlyargs, *below.args.args]]
                    given = [*zip(names, call.args, strict=False), *keywords_of(call).items()]
                    below_trials = frozenset(one for one, value in given if is_trial(value))
                    below_params = frozenset(one for one, value in given if is_params(value))
                    if below_trials or below_params:
                        self._read(below, below_trials, below_params, here)
        self._inside.pop()

    @staticmethod
    def _choices_in(function: Function, is_trial: Callable[[ast.AST], bool]) -> dict[str, str]:
        """The variables that stand for a categorical parameter, and its name."""
        found: dict[str, str] = {}
        bound = Counter(
            node.id
            for node in ast.walk(function)
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
        )
        for node in ast.walk(function):
            match node:
                case ast.Assign(
                    targets=[ast.Name(id=variable)],
                    value=ast.Call(func=ast.Attribute(value=value, attr="suggest_categorical")) as call,
                ) if is_trial(value) and bound[variable] == 1:
                    name = text_of(arguments_of(call, ("name",)).get("name"))
                    if name is not None:
                        found[variable] = name
        return found

    def _note_conditions(self) -> None:
        choices = {
            name: values["values"]
            for name, values in self.source.parameters.items()
            if name not in self.source.guessed and isinstance(values, dict) and "values" in values
        }
        for name, asked in self._asked.items():
            found = when(asked, choices)
            if found is None:
                self.source.conditional.add(name)
            elif found:
                self.source.when[name] = found

    def _read_call(self, method: str, call: ast.Call, conditions: Conditions) -> None:
        if method == "report":
            self.source.reports = True
        elif method == "log":
            self.source.metrics += keys_of(arguments_of(call, ("values",)).get("values"))
            self.source.reports = True
        elif method.startswith("suggest_"):
            self.source.in_optuna = True
            name = text_of(arguments_of(call, ("name",)).get("name"))
            if name is not None:
                self._asked.setdefault(name, []).append(conditions)
            self._suggest(method.removeprefix("suggest_"), call)

    def _suggest(self, kind: str, call: ast.Call) -> None:
        """What Optuna's trials are asked for."""
        last = {"categorical": ("choices",), "discrete_uniform": ("low", "high", "q")}.get(
            kind, ("low", "high", "step")
        )
        given = arguments_of(call, ("name", *last))
        name = text_of(given.get("name"))
        if name is None:
            self.source.notes.append(
                f"line {call.lineno}: the name of a parameter is only known when it runs"
            )
            return
        if kind == "categorical":
            choices = self.value(given.get("choices"))
            if isinstance(choices, list) and choices:
                self.source.add(name, {"values": choices}, guessed=False)
            else:
                self.source.add(name, guesses.by_name(name), guessed=True)
            return
        low, high = self.value(given.get("low")), self.value(given.get("high"))
        if not all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in (low, high)):
            self.source.add(name, guesses.by_name(name), guessed=True)
            return
        number = int if kind == "int" else float
        values: dict[str, Any] = {"min": number(low), "max": number(high)}
        if kind == "loguniform" or self.value(given.get("log")) is True:
            values["log"] = True
        step = self.value(given.get("step", given.get("q")))
        if isinstance(step, (int, float)) and not isinstance(step, bool) and (number is float or step != 1):
            values["step"] = number(step)
        self.source.add(name, values, guessed=False)

    def _names_of_returned(self, function: Function) -> list[str]:
        """What the returned values are called, as far as that says which way they are better."""
        found = []
        for node in ast.walk(function):
            if isinstance(node, ast.Return) and node.value is not None:
                for one in ast.walk(node.value):
                    if isinstance(one, ast.Name) and guesses.goal_of(one.id):
                        found.append(one.id)
        return found
