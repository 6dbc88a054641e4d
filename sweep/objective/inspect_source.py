"""What an objective's source says of its parameters and metrics. It is only read, never run."""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from sweep.errors import InputError, nearest, suggestion
from sweep.objective import guesses

Function = ast.FunctionDef | ast.AsyncFunctionDef
_UNKNOWN: Any = object()
"""Stands for a value that only running the code would tell."""


@dataclass
class Source:
    """What was found.

    Attributes:
        kind: whether it is a function or a script.
        work: what the sweep file's `objective` or `program` is.
        parameters: by name, as a sweep file writes them.
        guessed: the parameters whose values the source does not tell.
        metrics: the names of what is reported, the most likely one first.
        goal: the direction of an Optuna study for it in the same file.
        trials: how many that study runs.
        values: how many values it returns in a tuple, if it does.
        reports: whether it reports while it runs, so that a pruner can judge.
        has_flags: whether some options take no value (`store_true`).
        in_optuna: whether it asks for parameters by `trial.suggest_...`.
        notes: what could not be taken over.
    """

    kind: Literal["function", "script"]
    work: str
    parameters: dict[str, Any] = field(default_factory=dict)
    guessed: set[str] = field(default_factory=set)
    metrics: list[str] = field(default_factory=list)
    goal: str | None = None
    trials: int | None = None
    values: int = 1
    reports: bool = False
    has_flags: bool = False
    in_optuna: bool = False
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, values: Any, *, guessed: bool) -> None:
        """Note a parameter; what the source tells is better than a guess, and the first of either counts."""
        if name not in self.parameters or (name in self.guessed and not guessed):
            self.parameters[name] = values
            (self.guessed.add if guessed else self.guessed.discard)(name)


def inspect_source(target: str) -> Source:
    """Read a function or a script.

    Args:
        target: `file.py:function`, or `file.py`.

    Raises:
        InputError: there is no such file or function, it is no Python, or there are several candidates.
    """
    place, colon, name = target.rpartition(":")
    place, name = (place, name) if colon else (target, "")
    tree = _parse(Path(place), place, name)
    constants = _constants(tree)
    found = _find(tree, place, name)
    if found is None:
        source = Source("script", place)
        _Script(tree, constants, source).read()
    else:
        function, dotted = found
        source = Source("function", f"{place}:{dotted}")
        _Objective(tree, constants, source).read(function)
    _read_study(tree, source)
    names = [name for name in dict.fromkeys(source.metrics) if name == name.strip()]
    source.metrics = sorted(names, key=guesses.rank)
    return source


def _parse(path: Path, place: str, name: str) -> ast.Module:
    if path.suffix != ".py" and not path.exists():
        file = Path(*place.split(".")).with_suffix(".py") if place else Path("train.py")
        if file.is_file():
            raise InputError(f"{place}: expected a file; write {file}{':' * bool(name)}{name}")
    if not place:
        raise InputError("TARGET names no file; write for example train.py:train")
    if path.is_dir():
        raise InputError(f"{place}: is a directory; give a Python file, for example {path / 'train.py'}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of doubtful escapes in the user's strings
            return ast.parse(path.read_bytes(), place)
    except FileNotFoundError:
        near = nearest(path.name, [file.name for file in path.parent.glob("*.py")])
        hint = f"; did you mean {path.with_name(near)}?" if near else ""
        raise InputError(f"{place}: there is no such file{hint}") from None
    except SyntaxError as error:
        where = f"{place}:{error.lineno}" if error.lineno else place
        raise InputError(f"{where}: is no Python: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{place}: is no Python: {error}") from None
    except OSError as error:
        raise InputError(f"{place}: cannot be read: {error.strerror}") from None


def _find(tree: ast.Module, place: str, name: str) -> tuple[Function, str] | None:
    """The function to read, and its name; None for a script."""
    functions = {node.name: node for node in tree.body if isinstance(node, Function)}
    if name:
        body: list[ast.stmt] = tree.body
        found: ast.stmt | None = None
        for part in name.split("."):
            found = next((n for n in body if isinstance(n, (*_DEFINITIONS,)) and n.name == part), None)
            body = getattr(found, "body", [])
        if not isinstance(found, Function):
            hint = suggestion(name, functions) if functions else "it defines none"
            raise InputError(f"{place}: has no function {name!r}; {hint}")
        return found, name
    objectives = [one for one, node in functions.items() if _arguments(node) == ["trial"]]
    if len(objectives) > 1:
        raise InputError(
            f"{place}: several functions take a trial: {', '.join(objectives)}; write {place}:{objectives[0]}"
        )
    if objectives:
        return functions[objectives[0]], objectives[0]
    if _is_script(tree):
        return None
    if len(functions) == 1:
        ((only, node),) = functions.items()
        if len(_arguments(node)) == 1:
            return node, only
        raise InputError(
            f"{place}: {only} does not take a trial as its one argument; write def {only}(trial)"
        )
    if functions:
        raise InputError(
            f"{place}: no function has one argument named trial; name one: {place}:{next(iter(functions))}"
            f" (possible: {', '.join(functions)})"
        )
    raise InputError(f"{place}: has neither a function nor a script's code; give the file that trains")


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _arguments(function: Function) -> list[str]:
    """The names of what has to be given."""
    positional = [*function.args.posonlyargs, *function.args.args]
    required = positional[: len(positional) - len(function.args.defaults)]
    return [argument.arg for argument in required if argument.arg not in ("self", "cls")]


def _is_script(tree: ast.Module) -> bool:
    """Whether running the file does something."""
    passive = (
        *_DEFINITIONS,
        ast.Import,
        ast.ImportFrom,
        ast.Assign,
        ast.AnnAssign,
        ast.AugAssign,
        ast.Try,
        ast.If,
    )
    for node in tree.body:
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            return True
        if not isinstance(node, passive) and not (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            return True
    return any(
        isinstance(node, ast.Call)
        and (
            ast.unparse(node.func).endswith((".ArgumentParser", "click.command"))
            or ast.unparse(node.func) == "wandb.init"
        )
        for node in ast.walk(tree)
    )


def _constants(tree: ast.Module) -> dict[str, Any]:
    """The values that top-level names have for good."""
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            found[name] = _UNKNOWN if name in found else value_of(node.value, found)
    return found


_COMPUTE: dict[type[ast.operator], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


def value_of(node: ast.expr | None, constants: dict[str, Any]) -> Any:
    """The value of an expression that consists of literals, known names and sums of them, or `_UNKNOWN`."""
    match node:
        case None:
            return _UNKNOWN
        case ast.Name(id=name):
            return constants.get(name, _UNKNOWN)
        case ast.List(elts=items) | ast.Tuple(elts=items):
            values = [value_of(item, constants) for item in items]
            return _UNKNOWN if _UNKNOWN in values else values
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _COMPUTE:
            a, b = value_of(left, constants), value_of(right, constants)
            if all(isinstance(one, (int, float)) and abs(one) < 1e6 for one in (a, b)) and (
                not isinstance(op, ast.Pow) or abs(b) <= 64
            ):
                try:
                    result = _COMPUTE[type(op)](a, b)
                except (ArithmeticError, ValueError):
                    return _UNKNOWN
                return result if isinstance(result, (int, float)) else _UNKNOWN
            return _UNKNOWN
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _UNKNOWN
    return value if value is None or isinstance(value, (bool, int, float, str, list, dict)) else _UNKNOWN


def _keywords(call: ast.Call) -> dict[str, ast.expr]:
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}


def _given(call: ast.Call, names: tuple[str, ...]) -> dict[str, ast.expr]:
    """Arguments by name, positional ones too."""
    return {**dict(zip(names, call.args, strict=False)), **_keywords(call)}


def _text(node: ast.expr | None) -> str | None:
    return (
        node.value
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.strip()
        else None
    )


def _keys(node: ast.expr | None) -> list[str]:
    """The words that are keys of a mapping written out: `{"loss": ...}`, `dict(loss=...)`."""
    match node:
        case ast.Dict(keys=keys):
            return [text for key in keys if (text := _text(key))]
        case ast.Call(func=ast.Name(id="dict"), keywords=keywords):
            return [keyword.arg for keyword in keywords if keyword.arg]
    return []


def _read_study(tree: ast.Module, source: Source) -> None:
    """What an Optuna study in the same file says, if it is for the same function."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    optimised = [call for call in calls if ast.unparse(call.func).endswith(".optimize") and call.args]
    own = [call for call in optimised if ast.unparse(call.args[0]) == source.work.rpartition(":")[2]]
    if optimised and not own:
        return
    for call in own:
        count = _given(call, ("func", "n_trials")).get("n_trials")
        if isinstance(count, ast.Constant) and isinstance(count.value, int) and count.value > 0:
            source.trials = count.value
    for call in calls:
        if ast.unparse(call.func).endswith("create_study"):
            direction = _text(_keywords(call).get("direction"))
            if direction in ("maximize", "minimize"):
                source.goal = direction
                return


_OF_MAPPINGS = ("get", "keys", "values", "items", "as_dict", "update")


class _Reader:
    """What both kinds have in common: parameters read from a mapping, `params` or `wandb.config`."""

    def __init__(self, tree: ast.Module, constants: dict[str, Any], source: Source) -> None:
        self.tree = tree
        self.constants = constants
        self.source = source

    def value(self, node: ast.expr | None) -> Any:
        return value_of(node, self.constants)

    def read_mapping(self, scope: ast.AST, is_mapping: Any) -> None:
        """Note the parameters that are taken from a mapping, and what they are compared with."""

        def name_of(node: ast.AST) -> str | None:
            match node:
                case ast.Attribute(value=value, attr=name) if (
                    is_mapping(value) and name not in _OF_MAPPINGS and not name.startswith("_")
                ):
                    return name
                case ast.Subscript(value=value, slice=key) if is_mapping(value):
                    return _text(key)
                case ast.Call(func=ast.Attribute(value=value, attr="get"), args=[key, *_]) if is_mapping(
                    value
                ):
                    return _text(key)
            return None

        compared: dict[str, list[str]] = {}
        for node in ast.walk(scope):
            match node:
                case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq()], comparators=[right]) if (
                    name := name_of(left)
                ):
                    compared.setdefault(name, []).append(_text(right) or "")
                case ast.Compare(left=left, ops=[ast.In() | ast.NotIn()], comparators=[right]) if (
                    name := name_of(left)
                ):
                    options = self.value(right)
                    compared.setdefault(name, []).extend(options if isinstance(options, list) else [])
                case ast.Match(subject=subject, cases=cases) if name := name_of(subject):
                    for case in cases:
                        for one in ast.walk(case.pattern):
                            if isinstance(one, ast.MatchValue):
                                compared.setdefault(name, []).append(_text(one.value) or "")
        for node in _in_order(scope):
            if (name := name_of(node)) is None:
                continue
            options = [
                word for word in dict.fromkeys(compared.get(name, [])) if isinstance(word, str) and word
            ]
            if options:
                self.source.add(name, {"values": options}, guessed=True)
            elif (
                isinstance(node, ast.Call)
                and len(node.args) > 1
                and self.value(node.args[1]) not in (None, _UNKNOWN)
            ):
                self.source.add(name, guesses.around(name, self.value(node.args[1])), guessed=True)
            else:
                self.source.add(name, guesses.by_name(name), guessed=True)


def _in_order(scope: ast.AST) -> Iterator[ast.AST]:
    """All nodes in the source's order."""
    return iter(
        sorted(ast.walk(scope), key=lambda node: (getattr(node, "lineno", 0), getattr(node, "col_offset", 0)))
    )


class _Objective(_Reader):
    """Reads a function, and those functions of its file to which it gives the trial or its parameters."""

    def __init__(self, tree: ast.Module, constants: dict[str, Any], source: Source) -> None:
        super().__init__(tree, constants, source)
        self._functions = {node.name: node for node in tree.body if isinstance(node, Function)}
        self._seen: set[tuple[str, frozenset[str], frozenset[str]]] = set()

    def read(self, function: Function) -> None:
        trial = [*function.args.posonlyargs, *function.args.args]
        names = [argument.arg for argument in trial if argument.arg not in ("self", "cls")][:1]
        self._read(function, frozenset(names), frozenset())
        inner = {
            id(node)
            for below in ast.walk(function)
            if below is not function and isinstance(below, (*get_args(Function), ast.Lambda))
            for node in ast.walk(below)
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Return) and id(node) not in inner:
                self.source.metrics += _keys(node.value)
                if self.source.in_optuna and isinstance(node.value, ast.Tuple):
                    self.source.values = len(node.value.elts)
        if not self.source.metrics:
            self.source.metrics += self._names_of_returned(function)

    def _read(self, function: Function, trials: frozenset[str], params: frozenset[str]) -> None:
        if (function.name, trials, params) in self._seen:
            return
        self._seen.add((function.name, trials, params))

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
        for node in _in_order(function):
            if not isinstance(node, ast.Call):
                continue
            match node.func:
                case ast.Attribute(value=value, attr=method) if is_trial(value):
                    self._read_call(method, node)
                case ast.Name(id=name) if name in self._functions:
                    below = self._functions[name]
                    names = [argument.arg for argument in [*below.args.posonlyargs, *below.args.args]]
                    given = [*zip(names, node.args, strict=False), *_keywords(node).items()]
                    below_trials = frozenset(one for one, value in given if is_trial(value))
                    below_params = frozenset(one for one, value in given if is_params(value))
                    if below_trials or below_params:
                        self._read(below, below_trials, below_params)

    def _read_call(self, method: str, call: ast.Call) -> None:
        if method == "report":
            self.source.reports = True
        elif method == "log":
            self.source.metrics += _keys(_given(call, ("values",)).get("values"))
            self.source.reports = True
        elif method.startswith("suggest_"):
            self.source.in_optuna = True
            self._suggest(method.removeprefix("suggest_"), call)

    def _suggest(self, kind: str, call: ast.Call) -> None:
        """What Optuna's trials are asked for."""
        last = {"categorical": ("choices",), "discrete_uniform": ("low", "high", "q")}.get(
            kind, ("low", "high", "step")
        )
        given = _given(call, ("name", *last))
        name = _text(given.get("name"))
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


class _Script(_Reader):
    """Reads a script: its arguments, W&B's config, and what it prints or logs."""

    def read(self) -> None:
        """Note all that is there."""
        runs = {"wandb"}
        for node in ast.walk(self.tree):
            match node:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=function))
                    | ast.withitem(context_expr=ast.Call(func=function), optional_vars=ast.Name(id=name))
                ) if ast.unparse(function) == "wandb.init":
                    runs.add(name)

        def is_config(node: ast.AST) -> bool:
            return (isinstance(node, ast.Name) and node.id in configs) or (
                isinstance(node, ast.Attribute)
                and node.attr == "config"
                and isinstance(node.value, ast.Name)
                and node.value.id in runs
            )

        configs: set[str] = set()
        for node in ast.walk(self.tree):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if is_config(value):
                    configs.add(name)
        for node in _in_order(self.tree):
            if isinstance(node, ast.Call):
                self._read_call(node, runs)
        self.read_mapping(self.tree, is_config)

    def _read_call(self, call: ast.Call, runs: set[str]) -> None:
        name = ast.unparse(call.func)
        owner, _, method = name.rpartition(".")
        if method == "add_argument":
            self._argument(call)
        elif name in ("click.option", "option"):
            self._option(call)
        elif name in ("click.argument", "argument"):
            self._positional(_text(call.args[0] if call.args else None))
        elif name == "wandb.init":
            self._config(_keywords(call).get("config"))
        elif method == "log" and owner in runs:
            self.source.metrics += _keys(call.args[0] if call.args else None)
            self.source.reports = True
        elif name == "json.dumps" or name == "dumps":
            keys = _keys(call.args[0] if call.args else None)
            self.source.metrics += [key for key in keys if key not in ("step", "_step", "epoch")]
            self.source.reports |= bool(keys)
        elif method == "add_scalar" and call.args and (tag := _text(call.args[0])):
            self.source.metrics.append(tag)
            self.source.reports = True

    def _config(self, config: ast.expr | None) -> None:
        match config:
            case ast.Name():
                values = self.value(config)
                pairs = list(values.items()) if isinstance(values, dict) else []
            case ast.Dict(keys=keys, values=nodes):
                pairs = [(_text(key), self.value(node)) for key, node in zip(keys, nodes, strict=True)]
            case ast.Call(func=ast.Name(id="dict"), keywords=keywords):
                pairs = [(keyword.arg, self.value(keyword.value)) for keyword in keywords]
            case _:
                return
        for name, value in pairs:
            if isinstance(name, str) and value is not _UNKNOWN and not isinstance(value, dict):
                self.source.add(name, guesses.around(name, value), guessed=True)

    def _argument(self, call: ast.Call) -> None:
        """argparse's `add_argument`."""
        options = [text for node in call.args if (text := _text(node))]
        name = next((option[2:] for option in options if option.startswith("--")), None)
        if name is None:
            self._positional(options[0] if options else None)
            return
        given = _keywords(call)
        action = ast.unparse(given["action"]).strip("'\"") if "action" in given else "store"
        if action in ("store_true", "store_false") or action.endswith("BooleanOptionalAction"):
            if action.endswith("BooleanOptionalAction") and self.value(given.get("default")) is True:
                name = f"no-{name}"
            self._flag(name, False)
        elif action != "store" or "nargs" in given:
            self._left_out(name, "takes several values or none")
        else:
            type_ = ast.unparse(given["type"]) if "type" in given else ""
            required = self.value(given.get("required")) is True
            self._typed(
                name, type_, self.value(given.get("default")), self.value(given.get("choices")), required
            )

    def _option(self, call: ast.Call) -> None:
        """click's `option`."""
        options = [text for node in call.args if (text := _text(node))]
        name = next((option[2:] for option in options if option.startswith("--")), None)
        if name is None:
            return
        given = _keywords(call)
        name, _, off = name.partition("/")
        default = self.value(given.get("default"))
        if off or self.value(given.get("is_flag")) is True:
            self._flag(off.lstrip("-") if off and default is True else name, False)
            return
        if self.value(given.get("multiple")) is True or "nargs" in given:
            self._left_out(name, "takes several values")
            return
        type_, choices, required = "", _UNKNOWN, self.value(given.get("required")) is True
        match given.get("type"):
            case ast.Call(func=function) as made:
                type_ = ast.unparse(function)
                limits = _given(made, ("min", "max"))
                if type_.endswith("Choice"):
                    choices = self.value(made.args[0] if made.args else None)
                elif type_.endswith("Range"):
                    number = float if "Float" in type_ else int
                    low, high = self.value(limits.get("min")), self.value(limits.get("max"))
                    if isinstance(low, (int, float)) and isinstance(high, (int, float)):
                        self.source.add(name, {"min": number(low), "max": number(high)}, guessed=False)
                        return
            case ast.expr() as node:
                type_ = ast.unparse(node)
        self._typed(name, type_.removeprefix("click.").lower(), default, choices, required)

    def _typed(self, name: str, type_: str, default: Any, choices: Any, required: bool) -> None:
        """An option with a value."""
        if isinstance(choices, list) and choices:
            values: dict[str, Any] = {"values": choices}
            self.source.add(
                name, values if default not in choices else {**values, "default": default}, guessed=False
            )
        elif type_.endswith("bool"):
            self._left_out(name, "takes any word for true (type=bool)")
        elif default in (None, _UNKNOWN):
            if type_.endswith(("float", "int")):
                values = guesses.by_name(name)
                if "float" not in type_ and isinstance(values, dict) and isinstance(values.get("min"), float):
                    values = {"min": 1, "max": 10}
                self.source.add(name, values, guessed=True)
            elif required:
                self.source.add(name, "EDIT-ME", guessed=True)
                self.source.notes.append(f"--{name} is required; write its value")
            else:
                self._left_out(name, "has no default")
        else:
            if type_.endswith("float") and isinstance(default, int):
                default = float(default)
            values = guesses.around(name, default)
            self.source.add(name, values, guessed=isinstance(values, dict) and "value" not in values)

    def _flag(self, name: str, default: bool) -> None:
        self.source.has_flags = True
        self.source.add(name, {"values": [True, False], "default": default}, guessed=False)

    def _positional(self, name: str | None) -> None:
        if name is not None and not name.startswith("-"):
            self.source.notes.append(f"{name} is no option: write command, with its value as an item")

    def _left_out(self, name: str, why: str) -> None:
        self.source.notes.append(f"--{name} is left out: it {why}")
