"""The argument list of a command, with W&B's macros as in W&B's own agent (0.31)."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.sweepfile.command import DEFAULT_COMMAND, Command, CommandContext, CommandError
from sweep.sweepfile.wandb.command import WandbCommand, nest

PARAMS = {"a": True, "b": False, "c": 1, "d": None, "e": [1, "x"], "sgd": {"momentum": 0.9}}
FACTS = CommandContext(
    interpreter="python",
    program="train.py",
    args_json_file="/x/args.json",
    variables={"HERE": "yes", "TRICK": "${args_no_hyphens}", "lower": "no"},
    trial_dir="/runs/demo/trial-0007",
    number=7,
    seed=42,
    cwd="/home/me",
)


def wandb(*items: str, params: dict[str, Any] = PARAMS) -> list[str]:
    return WandbCommand(items).arguments(params, FACTS)


def ours(*items: str, params: dict[str, Any] = PARAMS) -> list[str]:
    command = Command(items)
    command.check(params)
    return command.arguments(params, FACTS)


def test_paths_can_be_relative_to_the_working_directory() -> None:
    assert ours("--data=${cwd}/data", params={}) == ["--data=/home/me/data"]
    assert ours("${cwd}", params={"cwd": 3}) == ["3"], "a parameter of that name takes precedence"


MACROS = {
    "${args}": ["--a=True", "--b=False", "--c=1", "--d=None", "--e=[1, 'x']", "--sgd={'momentum': 0.9}"],
    "${args_no_hyphens}": ["a=True", "b=False", "c=1", "d=None", "e=[1, 'x']", "sgd={'momentum': 0.9}"],
    "${args_no_boolean_flags}": ["--a", "--c=1", "--d=None", "--e=[1, 'x']", "--sgd={'momentum': 0.9}"],
    "${args_no_equals}": [
        *("--a", "True", "--b", "False", "--c", "1", "--d", "None"),
        *("--e", "[1, 'x']", "--sgd", "{'momentum': 0.9}"),
    ],
    "${args_append_hydra}": [
        *("+a=True", "+b=False", "+c=1", "+d=None", "+e=[1, 'x']", "+sgd={'momentum': 0.9}"),
    ],
    "${args_override_hydra}": [
        *("++a=True", "++b=False", "++c=1", "++d=None", "++e=[1, 'x']", "++sgd={'momentum': 0.9}"),
    ],
    "${args_json}": ['{"a": true, "b": false, "c": 1, "d": null, "e": [1, "x"], "sgd": {"momentum": 0.9}}'],
    "${args_json_file}": ["/x/args.json"],
    "${env}": ["/usr/bin/env"],
    "${interpreter}": ["python"],
    "${program}": ["train.py"],
}


@pytest.mark.parametrize(("macro", "expected"), MACROS.items())
def test_a_macro_has_the_same_value_as_with_wandb(macro: str, expected: list[str]) -> None:
    assert wandb("x", macro, "y") == ["x", *expected, "y"]
    if not macro.endswith("_hydra}"):
        assert ours("x", macro, "y") == ["x", *expected, "y"]


STYLES = {
    "${args_argparse}": ["--a", "--c=1", "--e", "1", "x", '--sgd={"momentum": 0.9}'],
    "${args_tyro}": ["--a", "--no-b", "--c=1", "--d=None", "--e", "1", "x", '--sgd={"momentum": 0.9}'],
    "${args_click}": ["--a", "--no-b", "--c=1", "--e=1", "--e=x", '--sgd={"momentum": 0.9}'],
    "${args_hf}": ["--a=True", "--b=False", "--c=1", "--e", "1", "x", '--sgd={"momentum": 0.9}'],
    "${args_jsonargparse}": [
        *("--a=true", "--b=false", "--c=1", "--d=null", '--e=[1, "x"]', '--sgd={"momentum": 0.9}'),
    ],
    "${args_hydra}": ["a=true", "b=false", "c=1", "d=null", "e=[1,x]", "sgd={momentum:0.9}"],
    "${args_append_hydra}": ["+a=true", "+b=false", "+c=1", "+d=null", "+e=[1,x]", "+sgd={momentum:0.9}"],
    "${args_override_hydra}": [
        *("++a=true", "++b=false", "++c=1", "++d=null", "++e=[1,x]", "++sgd={momentum:0.9}"),
    ],
}


@pytest.mark.parametrize(("macro", "expected"), STYLES.items())
def test_a_macro_passes_parameters_as_its_library_reads_them(macro: str, expected: list[str]) -> None:
    assert ours("x", macro, "y") == ["x", *expected, "y"]


def test_argparse_receives_flags_lists_and_null() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--amp", action="store_true")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--betas", nargs="+", type=float)
    parser.add_argument("--tags", nargs="*")
    parser.add_argument("--name")
    parser.add_argument("--depth", type=int, default=3)
    params = {"amp": True, "fast": False, "betas": [0.9, -1.0], "tags": ["a b", "="], "name": "-x"}
    passed = ours("${args_argparse}", params={**params, "depth": None})
    assert vars(parser.parse_args(passed)) == {**params, "depth": 3}


def test_optional_flags_receive_their_negative_form() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--amp", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--fast", action=argparse.BooleanOptionalAction)
    parser.add_argument("--betas", nargs=2, type=float)
    params = {"amp": False, "fast": True, "betas": [0.9, 0.99]}
    assert vars(parser.parse_args(ours("${args_tyro}", params=params))) == params


def test_click_receives_flags_and_lists() -> None:
    @click.command()
    @click.option("--amp/--no-amp", default=True)
    @click.option("--betas", multiple=True, type=float)
    @click.option("--depth", type=int, default=3)
    def command(**options: Any) -> dict[str, Any]:
        return options

    passed = ours("${args_click}", params={"amp": False, "betas": [0.9, 0.99], "depth": None})
    assert command(passed, standalone_mode=False) == {"amp": False, "betas": (0.9, 0.99), "depth": 3}


def test_a_negative_flag_of_a_group_is_named_as_tyro_does() -> None:
    assert ours("${args_tyro}", params={"sgd.nesterov": False}) == ["--sgd.no-nesterov"]


def test_an_argument_that_a_library_would_misread_is_an_error() -> None:
    with pytest.raises(CommandError, match="w: '-x' in a list would be read as an option"):
        ours("${args_argparse}", params={"w": ["-x"]})
    assert ours("${args_argparse}", params={"w": [-1.5, 2]}) == ["--w", "-1.5", "2"]
    with pytest.raises(CommandError, match="Hydra cannot read the key 'é' of a mapping"):
        ours("${args_hydra}", params={"w": {"é": 1}})


TEXTS = st.text() | st.text(alphabet="\\'\"${}[]:=, ab1e.-+_nul\n\t/", max_size=12)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.sampled_from(["null", "true", "1e3", "1_000", "inf", "nan", "", "'", "\\", "\\'", "a=b,c", "${x}"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def _same(a: Any, b: Any) -> bool:
    """Equality that tells 1, 1.0 and true apart."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return type(a) is type(b) and bool(a == b)


@pytest.mark.parametrize("macro", ["args_hydra", "args_append_hydra", "args_override_hydra"])
def test_every_value_reaches_hydra_unchanged(macro: str) -> None:
    parser = pytest.importorskip("hydra.core.override_parser.overrides_parser").OverridesParser.create()

    @given(value=VALUES)
    def check(value: Any) -> None:
        try:
            (argument,) = ours(f"${{{macro}}}", params={"model.x": value})
        except CommandError:  # a key of a mapping that Hydra's grammar cannot express
            return
        (override,) = parser.parse_overrides([argument])
        assert override.key_or_group == "model.x"
        assert _same(override.value(), value)

    check()


@pytest.mark.parametrize(
    ("items", "is_hydra_program", "expected"),
    [
        (
            ["t", "${args_override_hydra}", "-v"],
            False,
            ["t", "${args_override_hydra}", "${hydra_dirs}", "-v"],
        ),
        (["t", "${args_hydra}"], False, ["t", "${args_hydra}", "${hydra_dirs}"]),
        (["t", "${args_no_hyphens}"], True, ["t", "${args_no_hyphens}", "${hydra_dirs}"]),
        (["t", "lr=${lr}", "--cfg=job"], True, ["t", "lr=${lr}", "${hydra_dirs}", "--cfg=job"]),
        (["t", "${args_no_hyphens}"], False, ["t", "${args_no_hyphens}"]),
        (["t", "${args_hydra}", "hydra.run.dir=out"], True, ["t", "${args_hydra}", "hydra.run.dir=out"]),
        (["t", "${args}"], True, ["t", "${args}"]),
    ],
)
def test_hydra_writes_into_the_trials_directory_unless_the_command_says_where(
    items: list[str], is_hydra_program: bool, expected: list[str]
) -> None:
    assert list(Command(tuple(items)).with_hydra_dirs(["lr"], is_hydra_program).items) == expected
    assert WandbCommand(tuple(items)).with_hydra_dirs(["lr"], is_hydra_program).items == tuple(items)


def test_the_folders_of_hydra_are_no_parameters() -> None:
    command = Command(("t", "${args_hydra}", "${hydra_dirs}", "lr=${lr}", "-v"))
    assert command.of_parameters(["lr"]).items == ("${args_hydra}", "lr=${lr}")


def test_the_folders_of_hydra_are_quoted() -> None:
    facts = dataclasses.replace(FACTS, trial_dir="/my runs/a=b")
    assert Command(("${hydra_dirs}",)).arguments({}, facts) == [
        "hydra.run.dir='/my runs/a=b/hydra'",
        "hydra.sweep.dir='/my runs/a=b/hydra'",
    ]


def test_the_default_command_is_wandbs() -> None:
    assert wandb(*DEFAULT_COMMAND) == ["/usr/bin/env", "python", "train.py", *MACROS["${args}"]]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("${nope}", []),
        ("${envvar:lower}", []),
        ("${program} ${args}", []),
        ("--p=${program}", ["--p=${program}"]),
        ("${envvar:HERE}/x-${envvar:GONE}", ["yes/x-GONE"]),
        ("${envvar:}x", ["x"]),
        ("${envvar:TRICK}", MACROS["${args_no_hyphens}"]),
        ("${args_dict}", ["a", "b", "c", "d", "e", "sgd"]),
        ("${c}", []),
    ],
)
def test_commands_of_wandb_files_keep_wandbs_special_cases(item: str, expected: list[str]) -> None:
    assert wandb(item) == expected


def test_no_shell_expands_a_value() -> None:
    params = {"text": "a b; rm -rf $HOME 'x' \"y\"", "${args}": "${program}"}
    assert ours("${args}", params=params) == [
        "--text=a b; rm -rf $HOME 'x' \"y\"",
        "--${args}=${program}",
    ]
    assert ours("--t=${text}", params=params)[0] == "--t=" + params["text"]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("--lr=${lr}", "--lr=0.1"),
        ("${lr}", "0.1"),
        ("${sgd.momentum},${lr}", "0.9,0.1"),
        ("${trial_dir}/model.pt", "/runs/demo/trial-0007/model.pt"),
        ("${number}-${seed}", "7-42"),
        ("--config=${args_json_file}", "--config=/x/args.json"),
        ("${envvar:HERE}-${envvar:GONE}", "yes-GONE"),
        ("${envvar:TRICK}", "${args_no_hyphens}"),
        ("echo $${HOME} $HOME", "echo ${HOME} $HOME"),
    ],
)
def test_parameters_and_the_trial_are_macros_anywhere_in_an_item(item: str, expected: str) -> None:
    assert ours(item, params={"lr": 0.1, "sgd.momentum": 0.9}) == [expected]


def test_a_parameter_called_seed_takes_precedence() -> None:
    assert ours("--seed=${seed}", params={"seed": 3}) == ["--seed=3"]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("${arg}", r"'\$\{arg\}': there is no \$\{arg\}; did you mean \$\{args\}\?"),
        ("--lr=${lrr}", r"there is no \$\{lrr\}; did you mean \$\{lr\}\?"),
        ("${HOME}/x", r"there is no \$\{HOME\}; for a literal one write \$\$\{HOME\}"),
        ("x ${args}", r"\$\{args\} is several arguments; make it a separate item"),
        ("${envvar:home}", "write it in capitals"),
    ],
)
def test_an_unknown_macro_is_an_error(item: str, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        ours(item, params={"lr": 0.1})


def test_with_wandbs_rules_groups_are_mappings_and_whole_floats_are_integers() -> None:
    params = {"lr": 2.0, "sgd.momentum": 0.9, "sgd.inner.deep": True, "x": 0.5}
    groups = {"sgd.momentum": ("sgd", "momentum"), "sgd.inner.deep": ("sgd", "inner", "deep")}
    nested = nest(params, groups)
    assert nested == {"lr": 2, "sgd": {"momentum": 0.9, "inner": {"deep": True}}, "x": 0.5}
    assert json.dumps(nested["lr"]) == "2"
    assert wandb("${args}", params=nested) == [
        "--lr=2",
        "--sgd={'momentum': 0.9, 'inner': {'deep': True}}",
        "--x=0.5",
    ]


def test_only_dots_of_known_groups_separate_names() -> None:
    params = {"sgd.momentum": 1, "training.lr": 2, "sgd.a.b": 3}
    groups = {"sgd.momentum": ("sgd", "momentum"), "sgd.a.b": ("sgd", "a.b")}
    assert nest(params, groups) == {"sgd": {"momentum": 1, "a.b": 3}, "training.lr": 2}
    assert nest(params, {}) == params
    assert nest({"a.b.c": 1}, {"a.b.c": ("a.b", "c")}) == {"a.b": {"c": 1}}
