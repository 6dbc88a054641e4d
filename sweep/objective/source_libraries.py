"""Reads which library parses a script's command line, and the parameters that it declares."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from sweep.objective.source_info import Source, arguments_of, dotted_name, imports_of, in_order
from sweep.objective.source_options import add_option, defaults_of, read_options
from sweep.sweepfile.yaml import SweepLoader

_LIBRARIES = {
    "tyro.cli": "args_tyro",
    "transformers.HfArgumentParser": "args_hf",
    "trl.TrlParser": "args_hf",
    "simple_parsing.parse": "args_hf",
    "simple_parsing.ArgumentParser": "args_hf",
    "jsonargparse.CLI": "args_jsonargparse",
    "jsonargparse.auto_cli": "args_jsonargparse",
    "jsonargparse.ArgumentParser": "args_jsonargparse",
    "pyrallis.parse": "args_jsonargparse",
    "pyrallis.wrap": "args_jsonargparse",
    "draccus.parse": "args_jsonargparse",
    "draccus.wrap": "args_jsonargparse",
    "fire.Fire": "args",
    "omegaconf.OmegaConf.from_cli": "args_no_hyphens",
    "hydra.main": "args_hydra",
}
"""The macro for a script that calls a function."""
_LIGHTNING = "LightningCLI"
_DECLARES = ("HfArgumentParser", "TrlParser", "add_arguments")
"""Functions that take dataclasses, or a tuple of them."""
_TRAINING_ARGUMENTS = ("TrainingArguments", "SFTConfig", "DPOConfig", "GRPOConfig")
_MOST = 12
"""Examples from a configuration."""


def read_command_line(tree: ast.Module, file: Path, source: Source) -> None:
    """Read a script's command line into `source`: its command, and its parameters as examples.

    Args:
        tree: the script.
        file: its path, near which Hydra's configuration is.
        source: where to.
    """
    imports = imports_of(tree)
    read_options(tree, imports, source)
    macro = ""
    if source.examples or source.notes:
        is_click = {"click", "typer"} & {name.split(".")[0] for name in imports.values()}
        is_absl = any(name.startswith("absl") for name in imports.values())
        macro = "args_no_boolean_flags" if is_click else "args" if is_absl else "args_argparse"
    definitions = {
        node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }
    for node in in_order([tree]):
        if not isinstance(node, ast.Call):
            continue
        name = dotted_name(node.func, imports)
        short = name.split(".")[-1]
        if short == _LIGHTNING or _is_lightning(definitions.get(name)):
            _read_lightning(node, definitions, source)
            return
        macro = _LIBRARIES.get(name, macro)
        if name == "hydra.main":
            _read_hydra(node, file, tree, definitions, source)
        elif name in _LIBRARIES or (short in _DECLARES and macro == "args_hf"):
            if short == "wrap":
                for function in _decorated_by(node, tree):
                    _read_annotated(function, definitions, source)
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                elements = argument.elts if isinstance(argument, ast.Tuple | ast.List) else [argument]
                for element in elements:
                    _read_declared(dotted_name(element, {}), definitions, "", source)
    if macro not in ("", "args"):
        source.command = ["${interpreter}", "${program}", f"${{{macro}}}"]


def _is_lightning(node: ast.AST | None) -> bool:
    return isinstance(node, ast.ClassDef) and any(
        ast.unparse(base).split(".")[-1] == _LIGHTNING for base in node.bases
    )


def _read_lightning(call: ast.Call, definitions: dict[str, Any], source: Source) -> None:
    given = arguments_of(call, ("model_class", "datamodule_class"))
    for key, prefix in (("model_class", "model."), ("datamodule_class", "data.")):
        if (node := given.get(key)) is not None:
            _read_declared(dotted_name(node, {}), definitions, prefix, source)
    source.add_example("trainer.max_epochs", {"min": 1, "max": 10})
    run = source.literal(given.get("run")) is not False
    source.command = ["${interpreter}", "${program}", *(["fit"] if run else []), "${args_jsonargparse}"]


def _decorated_by(call: ast.Call, tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(each is call for each in node.decorator_list):
            yield node


def _read_annotated(function: ast.FunctionDef, definitions: dict[str, Any], source: Source) -> None:
    for argument in function.args.args[:1]:
        if argument.annotation is not None:
            _read_declared(dotted_name(argument.annotation, {}), definitions, "", source)


def _read_declared(name: str, definitions: dict[str, Any], prefix: str, source: Source) -> None:
    """Read the parameters of a function, of a class, or of a dataclass, whose groups have dotted names."""
    node = definitions.get(name)
    if name.endswith(_TRAINING_ARGUMENTS):
        source.add_example("learning_rate", {"min": 5e-6, "max": 5e-4, "log": True, "default": 5e-5})
    if isinstance(node, ast.FunctionDef):
        for argument, type_, default in defaults_of(node.args):
            add_option(source, f"{prefix}{argument}", type_, source.literal(default))
    elif isinstance(node, ast.ClassDef) and prefix.count(".") < 5:
        others = {key: value for key, value in definitions.items() if key != name}
        for base in node.bases:  # which can be an imported class of the same name
            _read_declared(dotted_name(base, {}), others, prefix, source)
        for item in node.body:
            match item:
                case ast.FunctionDef(name="__init__"):
                    for argument, type_, default in defaults_of(item.args):
                        add_option(source, f"{prefix}{argument}", type_, source.literal(default))
                case ast.AnnAssign(target=ast.Name(id=field), annotation=annotation, value=value):
                    _read_field(f"{prefix}{field}", annotation, value, definitions, source)


def _read_field(
    name: str, annotation: ast.expr, value: ast.expr | None, definitions: dict[str, Any], source: Source
) -> None:
    type_ = ast.unparse(annotation)
    if type_ in definitions:
        _read_declared(type_, definitions, f"{name}.", source)
        return
    given = arguments_of(value) if isinstance(value, ast.Call) else {"default": value}  # field(default=...)
    if given.get("default") is None:
        kind = "takes a list or an object" if "default_factory" in given else "has no default"
        source.notes.append(f"{name} {kind}: for example {name}: {{values: [...]}}")
        return
    value = given["default"]
    match annotation:
        case ast.Subscript(value=ast.Name(id="Literal") | ast.Attribute(attr="Literal"), slice=choices):
            nodes = choices.elts if isinstance(choices, ast.Tuple) else [choices]
            add_option(source, name, type_, source.literal(value), [source.literal(node) for node in nodes])
        case _:
            add_option(source, name, type_, source.literal(value))


def _read_hydra(
    call: ast.Call, file: Path, tree: ast.Module, definitions: dict[str, Any], source: Source
) -> None:
    """Read the numbers and the groups in the configuration of a Hydra program."""
    given = arguments_of(call, ("config_path", "config_name"))
    folder, name = source.literal(given.get("config_path")), source.literal(given.get("config_name"))
    if not isinstance(name, str):
        return
    for node in in_order([tree]):  # ConfigStore.instance().store(name="config", node=Config)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".store"):
            stored = arguments_of(node)
            if source.literal(stored.get("name")) == name and "node" in stored:
                _read_declared(dotted_name(stored["node"], {}), definitions, "", source)
    if isinstance(folder, str):
        directory = file.parent / folder
        config = _load(directory / f"{name.removesuffix('.yaml')}.yaml")
        _read_groups(config.pop("defaults", None), directory, source)
        _read_numbers(config, "", source)


def _load(path: Path) -> dict[str, Any]:
    try:
        loaded = yaml.load(path.read_text(encoding="utf-8"), SweepLoader)  # 1e-3 is a number, as for Hydra
    except (OSError, UnicodeError, yaml.YAMLError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _read_groups(defaults: Any, directory: Path, source: Source) -> None:
    """Read the groups in Hydra's defaults list, and the numbers in the selected configurations."""
    for entry in defaults if isinstance(defaults, list) else []:
        for group, option in entry.items() if isinstance(entry, dict) and len(entry) == 1 else []:
            group = str(group).split(" ")[-1]
            options = sorted(path.stem for path in (directory / group).glob("*.yaml"))
            if not isinstance(option, str) or group.startswith("hydra") or "@" in group:
                continue
            if len(options) > 1:
                add_option(source, group, "str", option.removesuffix(".yaml"), options)
            config = _load(directory / group / f"{option.removesuffix('.yaml')}.yaml")
            config.pop("defaults", None)
            _read_numbers(config, f"{group.replace('/', '.')}.", source)


def _read_numbers(config: dict[str, Any], prefix: str, source: Source) -> None:
    for key, value in config.items():
        if isinstance(value, dict) and key != "hydra":
            _read_numbers(value, f"{prefix}{key}.", source)
        elif isinstance(value, int | float) and not isinstance(value, bool) and len(source.examples) < _MOST:
            add_option(source, f"{prefix}{key}", type(value).__name__, value)
