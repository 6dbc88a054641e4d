"""An Optuna study that stands in the same file as its objective."""

from __future__ import annotations

import ast

from sweep.objective.source.found import Source
from sweep.objective.source.syntax import arguments_of, keywords_of, text_of


def read_study(tree: ast.Module, source: Source) -> None:
    """What an Optuna study in the same file says, if it is for the same function."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    optimised = [call for call in calls if ast.unparse(call.func).endswith(".optimize") and call.args]
    own = [call for call in optimised if ast.unparse(call.args[0]) == source.work.rpartition(":")[2]]
    if optimised and not own:
        return
    for call in own:
        count = arguments_of(call, ("func", "n_trials")).get("n_trials")
        if isinstance(count, ast.Constant) and isinstance(count.value, int) and count.value > 0:
            source.trials = count.value
    for call in calls:
        if ast.unparse(call.func).endswith("create_study"):
            goals = _goals(keywords_of(call))
            if goals:
                source.goals = goals
                if len(goals) > 1:  # the objective need not show it: `return evaluate(model)`
                    source.values = len(goals)
                return


def _goals(keywords: dict[str, ast.expr]) -> list[str]:
    """The directions that a call names; none if one of them cannot be told."""
    several = keywords.get("directions")
    nodes = several.elts if isinstance(several, ast.List | ast.Tuple) else [keywords.get("direction")]
    words = [node.attr.lower() if isinstance(node, ast.Attribute) else text_of(node) for node in nodes]
    found = [word for word in words if word in ("maximize", "minimize")]
    return found if len(found) == len(words) else []
