"""The sweep file's `parameters`: declared parameters, or define-by-run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, ValidatorFunctionWrapHandler, WrapValidator

from sweep.errors import suggestion
from sweep.sweepfile.parameter_forms import NamedParameters, Parameter
from sweep.sweepfile.tree import dependency_order, flatten
from sweep.sweepfile.types import OrForms, invalid

DEFINE_BY_RUN = "define-by-run"


class DefineByRun(dict[str, Parameter]):
    """No declared parameters: the objective suggests its parameters while it runs, as with Optuna."""


def _check_tree(parameters: Mapping[str, Parameter]) -> Mapping[str, Parameter]:
    dependency_order(flatten(parameters))
    return parameters


def _or_define_by_run(value: Any, declared: ValidatorFunctionWrapHandler) -> Any:
    if value == DEFINE_BY_RUN or isinstance(value, DefineByRun):
        return DefineByRun()
    if isinstance(value, str):
        raise invalid(f"expected parameters by name, or {suggestion(value, [DEFINE_BY_RUN])}")
    return declared(value)


Parameters = Annotated[
    NamedParameters,
    AfterValidator(_check_tree),
    WrapValidator(_or_define_by_run),
    OrForms({"const": DEFINE_BY_RUN}),
]
