"""Reads an Optuna study that a file creates: its objective, directions, sampler, pruner and trials."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sweep.objective.source_info import Source, arguments_of, bound_once, imports_of, in_order
from sweep.sweepfile.model import Stop
from sweep.sweepfile.pruners import Pruner
from sweep.sweepfile.samplers import Sampler
from sweep.sweepfile.types import PlainValue

SAMPLERS = {
    "TPESampler": "tpe",
    "GPSampler": "gp",
    "CmaEsSampler": "cmaes",
    "NSGAIISampler": "nsga2",
    "NSGAIIISampler": "nsga3",
    "QMCSampler": "qmc",
    "RandomSampler": "random",
}
_PRUNERS = {
    "NopPruner": "none",
    "MedianPruner": "median",
    "PercentilePruner": "percentile",
    "SuccessiveHalvingPruner": "asha",
    "HyperbandPruner": "hyperband",
    "ThresholdPruner": "threshold",
    "WilcoxonPruner": "wilcoxon",
    "PatientPruner": "patient",
}
_METHODS = ("optimize", "enqueue_trial")
_OPTIMIZE = ("func", "n_trials", "timeout", "n_jobs")
_CREATE = ("storage", "sampler", "pruner", "study_name", "direction", "load_if_exists", "directions")
_POINTS: TypeAdapter[Any] = TypeAdapter(list[dict[str, PlainValue]])


@dataclass(frozen=True)
class StudyCalls:
    """The calls by which a file runs one study.

    Args:
        objective: the expression that is passed to `study.optimize`.
        create: the call of `create_study`; None if it is not certain.
        optimize: the calls of `optimize`.
        enqueue: the calls of `enqueue_trial`.
        bound_once: the names of the file that mean one expression.
        is_run_by_import: whether importing the file runs the study.
    """

    objective: ast.expr
    create: ast.Call | None
    optimize: list[ast.Call] = field(default_factory=list)
    enqueue: list[ast.Call] = field(default_factory=list)
    bound_once: dict[str, ast.expr] = field(default_factory=dict)
    is_run_by_import: bool = False


def find_studies(tree: ast.Module) -> list[StudyCalls]:
    """The studies that a file runs, one for each objective."""
    created: list[ast.Call] = []
    by_name: dict[str, list[ast.Call]] = {}
    calls: list[tuple[str, str, ast.Call]] = []
    """Method, study and call."""
    for node in in_order([tree]):
        match node:
            case ast.Assign(targets=[target], value=ast.Call() as call) if _name_of(call) == "create_study":
                by_name.setdefault(ast.unparse(target), []).append(call)
            case ast.Call(func=ast.Attribute(attr=method, value=study)) if method in _METHODS:
                calls.append((method, ast.unparse(study), node))
        if isinstance(node, ast.Call) and _name_of(node) == "create_study":
            created.append(node)
    studies: dict[str, StudyCalls] = {}
    names, run = bound_once(tree), _run_by_import(tree)
    uses_optuna = any(name.split(".")[0] == "optuna" for name in imports_of(tree).values())
    for method, owner, call in calls:
        objective = arguments_of(call, _OPTIMIZE).get("func")
        if method != "optimize" or objective is None or not (created or uses_optuna):
            continue
        direct = [other for other in created if other is getattr(call.func, "value", None)]
        candidates = direct or by_name.get(owner) or created
        create = candidates[0] if len(candidates) == 1 else None
        is_run = any(node is call for node in run)
        new = StudyCalls(objective, create, bound_once=names, is_run_by_import=is_run)
        found = studies.setdefault(ast.unparse(objective), new)
        found.optimize.append(call)
        others = [other for name, place, other in calls if name == "enqueue_trial" and place == owner]
        found.enqueue.extend(other for other in others if other not in found.enqueue)
    return list(studies.values())


def is_main_guard(node: ast.AST) -> bool:
    """Whether a statement is `if __name__ == "__main__":`, whose body no import runs."""
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def _run_by_import(tree: ast.Module) -> list[ast.AST]:
    """The nodes of a file that run when it is imported, those of functions that it calls included."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    todo: list[ast.AST] = list(tree.body)
    for node in todo:  # the list grows meanwhile
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions:
            todo += functions.pop(node.func.id).body
        if not is_main_guard(node) and not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            todo += ast.iter_child_nodes(node)
    return todo


def _name_of(call: ast.Call) -> str:
    return ast.unparse(call.func).split(".")[-1]


def read_study(study: StudyCalls, source: Source, prunes: bool) -> None:
    """Add the entries of the sweep file that a study's calls contain to `source.study`.

    Args:
        study: the calls.
        source: the source, whose notes name what is not a literal.
        prunes: whether the objective asks the pruner.
    """
    source = replace(source, bound_once=study.bound_once)  # it shares everything else
    if study.create is not None:
        given = arguments_of(study.create, _CREATE)
        _read_directions(given, source)
        _read_class("sampler", given.get("sampler"), SAMPLERS, Sampler, source)
        _read_class("pruner", given.get("pruner"), _PRUNERS, Pruner, source)
        if prunes and "pruner" not in given and None not in given:
            source.study["pruner"] = "median"  # Optuna's default
        note_storage(source.literal(given.get("storage")), source)
    _read_stop(study, source)
    store_jobs(
        [source.literal(arguments_of(call, _OPTIMIZE).get("n_jobs")) for call in study.optimize], source
    )
    if study.is_run_by_import:
        source.notes.append(
            f"line {study.optimize[0].lineno} runs the study when a worker imports the file: "
            'put it under if __name__ == "__main__":'
        )
    points = [source.literal(arguments_of(call, ("params",)).get("params")) for call in study.enqueue]
    certain = [point for point in points if isinstance(point, dict)]
    if certain:
        store("enqueue", certain, _POINTS, source)
    for call, point in zip(study.enqueue, points, strict=True):
        if not isinstance(point, dict):
            source.notes.append(f"line {call.lineno}: {_shown(call)} is not a literal: add it to enqueue")


def _read_directions(given: dict[str | None, ast.expr], source: Source) -> None:
    """Read the goals into `source.study["goals"]`."""
    nodes = [given.get("direction")]
    several = given.get("directions")
    if isinstance(several, ast.List | ast.Tuple):
        nodes = list(several.elts)
    elif several is not None:
        value = source.literal(several)
        nodes = [ast.Constant(each) for each in value] if isinstance(value, list | tuple) else [several]
    goals = []
    for node in nodes:
        text = "minimize" if node is None and None not in given else source.literal(node)
        if isinstance(node, ast.Attribute) and ast.unparse(node).split(".")[-2:-1] == ["StudyDirection"]:
            text = node.attr.lower()
        goals.append(text if text in ("minimize", "maximize") else None)
    if None not in goals:
        source.study["goals"] = goals


def _read_class(
    key: str, node: ast.expr | None, types: dict[str, str], annotation: Any, source: Source
) -> None:
    node = source.resolve(node)
    if node is None or (isinstance(node, ast.Constant) and node.value is None):
        return
    entry = _class_entry(node, types, source)
    if entry is not None:
        entry = entry["type"] if len(entry) == 1 and key == "pruner" else entry
    if entry is None or not store(key, entry, TypeAdapter(annotation), source):
        source.study[key] = None
        source.notes.append(f"{key}: the file has {_shown(node)}, which cannot be translated")


def _class_entry(node: ast.AST, types: dict[str, str], source: Source) -> dict[str, Any] | None:
    """A sampler or pruner of Optuna's as a mapping; None if its class or an option is not certain."""
    import optuna

    if not isinstance(node, ast.Call) or (name := _name_of(node)) not in types:
        return None
    class_ = getattr(optuna.samplers, name, None) or getattr(optuna.pruners, name)
    entry: dict[str, Any] = {"type": types[name]}
    for option, value in arguments_of(node, inspect.signature(class_).parameters).items():
        value = source.resolve(value) or value
        found = _class_entry(value, types, source) if option == "wrapped_pruner" else source.literal(value)
        if isinstance(value, ast.Constant) and value.value is None:
            continue
        if option == "constraints_func":
            source.notes.append(
                "constraints_func: instead, call trial.set_constraint(name, value) in the objective"
            )
            continue
        if option is None or found is None:
            return None
        entry["wrapped" if option == "wrapped_pruner" else option] = found
    return entry


def _read_stop(study: StudyCalls, source: Source) -> None:
    stop: dict[str, Any] = {}
    for call in study.optimize:
        given = arguments_of(call, _OPTIMIZE)
        for option, key in (("n_trials", "trials"), ("timeout", "time")):
            node = given.get(option)
            value = source.literal(node)
            if value is not None and len(study.optimize) == 1:
                stop[key] = value
            elif node is not None and not (isinstance(node, ast.Constant) and node.value is None):
                source.study["stop"] = None
                source.notes.append(f"stop: line {call.lineno} says {option}={_shown(node)}")
    if stop and "stop" not in source.study:
        store("stop", stop, TypeAdapter(Stop), source)


def store_jobs(counts: list[Any], source: Source) -> None:
    """Add the largest of these numbers of parallel trials, if it is more than one."""
    jobs = max((count for count in counts if type(count) is int), default=1)
    if jobs > 1:
        source.study["max_parallel"] = jobs


def note_storage(url: Any, source: Source) -> None:
    """Note the storage of the study that the source has: a sweep has its own study, by default in `runs/`."""
    if isinstance(url, str):
        source.notes.append(f"storage: {url}    # the source's; default: a journal in the sweep's directory")


def store(key: str, value: Any, adapter: TypeAdapter[Any], source: Source) -> bool:
    """Add an entry to `source.study` if it is valid in a sweep file."""
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    source.study[key] = value
    return True


def _shown(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 80 else text[:77] + "..."
