"""Which function or script a target names, and what its source says."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

from sweep.errors import InputError, nearest_file, suggestion
from sweep.objective.source import guesses
from sweep.objective.source.callables import bindings_of, function_of, why_no_objective
from sweep.objective.source.found import Source
from sweep.objective.source.function import FunctionReader
from sweep.objective.source.script import ScriptReader
from sweep.objective.source.study import read_study
from sweep.objective.source.syntax import Function, constants_of


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
    constants = constants_of(tree)
    found = _find(tree, place, name)
    if found is None:
        source = Source("script", place)
        ScriptReader(tree, constants, source).read()
    else:
        function, dotted = found
        source = Source("function", f"{place}:{dotted}")
        if function is not None:
            FunctionReader(tree, constants, source).read(function)
        else:  # it runs, whatever it is, if it asks for its parameters itself
            source.in_optuna = True
            source.notes.append(f"nothing can be read of {dotted}: declare the parameters that it takes")
    read_study(tree, source)
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
        near = nearest_file(path.name, [file.name for file in path.parent.glob("*.py")])
        hint = f"; did you mean {path.with_name(near)}?" if near else ""
        raise InputError(f"{place}: there is no such file{hint}") from None
    except SyntaxError as error:
        where = f"{place}:{error.lineno}" if error.lineno else place
        raise InputError(f"{where}: is no Python: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{place}: is no Python: {error}") from None
    except OSError as error:
        raise InputError(f"{place}: cannot be read: {error.strerror}") from None


def _find(tree: ast.Module, place: str, name: str) -> tuple[Function | None, str] | None:
    """The function to read, if there is one, and its name; None for a script."""
    functions = {node.name: node for node in tree.body if isinstance(node, Function)}
    if name:
        body: list[ast.stmt] = tree.body
        found: ast.stmt | None = None
        for part in name.split("."):
            found = next((n for n in body if isinstance(n, (*_DEFINITIONS,)) and n.name == part), None)
            body = getattr(found, "body", [])
        bindings = bindings_of(tree)
        if (why := why_no_objective(name, bindings)) is not None:
            raise InputError(f"{place}: {why}")
        if not isinstance(found, Function):
            if name in bindings:
                return function_of(name, bindings), name
            hint = suggestion(name, functions) if functions else "it defines none"
            raise InputError(f"{place}: has no function {name!r}; {hint}")
        return found, name
    objectives = [one for one, node in functions.items() if _required(node) == ["trial"]]
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
        if len(_required(node)) == 1:
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


def _required(function: Function) -> list[str]:
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
