"""Constraints on parameters, and filters of trials: arithmetic and comparisons without Python's `eval`."""

from __future__ import annotations

import ast
import keyword
import math
import operator
import re
import unicodedata
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sweep.sweepfile.types import short_repr


class ExpressionError(ValueError):
    """An expression is invalid, or cannot be applied to the values of its parameters."""


_MAX_LENGTH = 1000
_MAX_BITS = 4096
_MAX_DEPTH = 200
"""The evaluation is recursive, and Python limits the depth of the whole call stack."""


def _number(value: Any) -> int | float:
    if not isinstance(value, (int, float)):
        raise ExpressionError(f"does arithmetic with {short_repr(value)}, which is not a number")
    return value


def _power(base: int | float, exponent: int | float) -> int | float:
    """A power, in floats where integers would exhaust the memory."""
    if isinstance(base, int) and isinstance(exponent, int) and 0 <= exponent * base.bit_length() <= _MAX_BITS:
        return int(base**exponent)
    return math.pow(base, exponent)


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_ORDER: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    **_ORDER,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda value, values: value in values,
    ast.NotIn: lambda value, values: value not in values,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.Not: lambda value: not _truth(value),
    ast.USub: lambda value: -_number(value),
    ast.UAdd: lambda value: +_number(value),
}
_DECISIVE: dict[type[ast.boolop], bool] = {ast.And: False, ast.Or: True}
"""The value of one part that decides the whole."""
_FUNCTIONS: dict[str, Callable[..., Any]] = {"min": min, "max": max, "abs": abs, "log": math.log}
_MAX_ARGUMENTS = {"abs": 1, "log": 2}
_PARAMS = {"params": ""}
_KEYWORDS = ("and", "or", "not", "in", "is", "if", "else", "for", "None", "True", "False")
"""Python's keywords that are not meant as the names of parameters."""
_Evaluator = Callable[[Mapping[str, Any]], Any]
_ALLOWED = "numbers, strings in quotes, + - * / // % **, comparisons, in, and, or, not, min, max, abs, log"


class Expression:
    """A condition on parameters, such as `batch_size * accum <= 1024`.

    Names are those of parameters, including dotted names (`sgd.momentum`). A name that is not valid in Python
    is written `params["batch-size"]`.

    Args:
        text: the expression.
        groups: what can be written in place of `params`, and the prefix of such names in `names`.

    Attributes:
        text: the expression.
        names: the names of its parameters, in order of appearance.

    Raises:
        ExpressionError: the text is not an expression, or uses more than arithmetic and comparisons.
    """

    def __init__(self, text: str, groups: Mapping[str, str] = _PARAMS) -> None:
        self.text = text
        self._groups = groups
        if len(text) > _MAX_LENGTH:
            raise ExpressionError(f"is longer than {_MAX_LENGTH} characters; write several constraints")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python's warnings about escapes
                tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise ExpressionError(f"{short_repr(text)} is not an expression; {_hint(text, groups)}") from None
        names: list[str] = []
        try:
            if _depth(tree) > _MAX_DEPTH:
                raise RecursionError
            self._evaluate = _compile(_with_names_as_written(tree, text.strip()), names, groups)
        except RecursionError:
            raise ExpressionError("is nested too deeply; write several constraints") from None
        self.names: Sequence[str] = tuple(dict.fromkeys(names))
        if not names:
            raise ExpressionError("names no parameter, so it is constant")

    def __reduce__(self) -> tuple[type[Expression], tuple[str, Mapping[str, str]]]:
        return Expression, (self.text, self._groups)  # the compiled functions cannot be pickled

    def holds(self, params: Mapping[str, Any]) -> bool:
        """Whether a configuration fulfils the constraint.

        An expression with an inactive parameter counts as fulfilled. An expression that cannot be evaluated
        (division by zero, logarithm of 0) counts as violated.

        Raises:
            ExpressionError: it does arithmetic with strings, compares them with numbers, or its result is
                neither true nor false.
        """
        return any(name not in params for name in self.names) or self.matches(params)

    def matches(self, values: Mapping[str, Any]) -> bool:
        """Whether values fulfil the expression as a filter.

        A condition on a missing value is unknown: neither it nor its negation is fulfilled, as in SQL. An
        expression that cannot be evaluated (division by zero, logarithm of 0) is not fulfilled.

        Raises:
            ExpressionError: as `holds`.
        """
        try:
            value = self._evaluate(values)
        except KeyError:
            return False
        except (ArithmeticError, ValueError) as error:
            if isinstance(error, ExpressionError):
                raise
            return False
        if not isinstance(value, bool):
            raise ExpressionError(f"is {short_repr(value)}, neither true nor false; add a comparison")
        return value


def _hint(text: str, groups: Mapping[str, str]) -> str:
    """What to write instead of a text that is not an expression."""
    if reversed_sign := re.search(r"=([<>])", text):
        return f"write {reversed_sign[1]}= for {reversed_sign[0]}"
    if re.fullmatch(r"[^=<>!]+=[^=]+", text):
        return "compare with =="
    if re.search(r"&&|\|\||!(?!=)", text):
        return "write and, or, not for &&, ||, !"
    for name in re.findall(r"[^\W\d]\w*(?:\.\w+)*", re.sub(r"'[^']*'|\"[^\"]*\"", "", text)):
        parts = name.split(".")
        if any(map(keyword.iskeyword, parts)) and name not in _KEYWORDS:
            group = parts.pop(0) if len(parts) > 1 and parts[0] in groups else next(iter(groups))
            return f'write {group}["{".".join(parts)}"], because Python has a keyword in this name'
    return "write for example batch_size * accum <= 1024"


def _with_names_as_written(tree: ast.expr, text: str) -> ast.expr:
    """The tree of a text, with names as in the text: Python replaces some letters, such as the micro sign."""
    if text.isascii():
        return tree
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            written = (ast.get_source_segment(text, node) or "").rpartition(".")[2].strip()
            name = "id" if isinstance(node, ast.Name) else "attr"
            if unicodedata.normalize("NFKC", written) == getattr(node, name):
                setattr(node, name, written)
    return tree


def _depth(node: ast.AST) -> int:
    return 1 + max(map(_depth, ast.iter_child_nodes(node)), default=0)


def _compile(node: ast.expr, names: list[str], groups: Mapping[str, str]) -> _Evaluator:
    """A function that evaluates a tree, and raises KeyError for a missing value that it depends on.

    Appends the names of its parameters to `names`.
    """

    def compiled(part: ast.expr) -> _Evaluator:
        return _compile(part, names, groups)

    match node:
        case ast.Name() | ast.Attribute() | ast.Subscript():
            name = _name(node, groups)
            names.append(name)
            return lambda params: params[name]
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return lambda params: value
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            items = [compiled(element) for element in elements]
            return lambda params: [item(params) for item in items]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
            unary, inner = _UNARY[type(op)], compiled(operand)
            return lambda params: unary(inner(params))
        case ast.BoolOp(op=op, values=values):
            decisive, parts = _DECISIVE[type(op)], [compiled(value) for value in values]
            return lambda params: _combine(decisive, parts, params)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            binary, a, b = _BINARY[type(op)], compiled(left), compiled(right)
            return lambda params: binary(_number(a(params)), _number(b(params)))
        case ast.Compare(left=left, ops=ops, comparators=rest) if all(type(op) in _COMPARISONS for op in ops):
            kinds, compared = [type(op) for op in ops], [compiled(part) for part in (left, *rest)]
            return lambda params: _compare(kinds, [part(params) for part in compared])
        case ast.Call(func=ast.Name(id=function), args=[_, *_] as arguments, keywords=[]) if (
            function in _FUNCTIONS
            and (function in _MAX_ARGUMENTS or len(arguments) > 1)
            and len(arguments) <= _MAX_ARGUMENTS.get(function, len(arguments))
        ):
            call, passed = _FUNCTIONS[function], [compiled(argument) for argument in arguments]
            return lambda params: call(*(_number(argument(params)) for argument in passed))
    raise ExpressionError(f"{_excerpt(node)} is not allowed; use only {_ALLOWED}")


def _excerpt(node: ast.expr) -> str:
    return short_repr(ast.unparse(node))


def _name(node: ast.expr, groups: Mapping[str, str]) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name):
            return f"{_name(value, groups)}.{name}"
        case ast.Subscript(value=ast.Name(id=group), slice=ast.Constant(value=str(name))) if group in groups:
            return groups[group] + name
    raise ExpressionError(f"{_excerpt(node)} is not a parameter; use only {_ALLOWED}")


def _combine(decisive: bool, parts: Sequence[_Evaluator], params: Mapping[str, Any]) -> bool:
    """The parts joined by `or`, which a true one decides, or by `and`, which a false one decides."""
    missing = None
    for part in parts:
        try:
            if _truth(part(params)) is decisive:
                return decisive
        except KeyError as error:  # another part can still decide
            missing = error
    if missing is not None:
        raise missing
    return not decisive


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ExpressionError(f"uses {short_repr(value)} as true or false; add a comparison")
    return value


def _compare(kinds: Sequence[type[ast.cmpop]], values: Sequence[Any]) -> bool:
    for kind, left, right in zip(kinds, values, values[1:], strict=False):
        if kind in _ORDER:
            if isinstance(left, str) != isinstance(right, str) or isinstance(left, list):
                raise ExpressionError(f"compares {short_repr(left)} with {short_repr(right)}")
            if not isinstance(left, str):
                left, right = _number(left), _number(right)
        elif kind in (ast.In, ast.NotIn) and not isinstance(right, list):
            raise ExpressionError(f"looks for {short_repr(left)} in {short_repr(right)}, which is not a list")
        if not _COMPARISONS[kind](left, right):
            return False
    return True


_OPERATORS = ("<=", ">=", "<", ">")


class Limit:
    """A limit on a metric, such as `<= 20`.

    Args:
        text: a comparison with a number.

    Attributes:
        text: the comparison.

    Raises:
        ExpressionError: the text is not a limit.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        stripped = text.strip()
        self._sign = next((sign for sign in _OPERATORS if stripped.startswith(sign)), "")
        try:
            self._bound = float(stripped.removeprefix(self._sign))
        except ValueError:
            self._sign = ""
        if not self._sign or not math.isfinite(self._bound):
            raise ExpressionError(f'{short_repr(text)} is not a limit; write for example "<= 20"')

    def excess(self, value: float) -> float:
        """How far a value exceeds the limit. As in Optuna, the constraint is satisfied up to 0."""
        excess = value - self._bound if self._sign.startswith("<") else self._bound - value
        # Optuna has no strict limits: a value that equals a strict bound gets the smallest possible excess.
        return math.ulp(0.0) if excess == 0 and len(self._sign) == 1 else excess
