"""A script with arguments, as its source has it."""

from __future__ import annotations

import ast
from typing import Any

from sweep.objective.source import guesses
from sweep.objective.source.reader import Reader
from sweep.objective.source.syntax import UNKNOWN, arguments_of, in_order, keys_of, keywords_of, text_of


class ScriptReader(Reader):
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
        for node in in_order(self.tree):
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
            self._positional(text_of(call.args[0] if call.args else None))
        elif name == "wandb.init":
            self._config(keywords_of(call).get("config"))
        elif method == "log" and owner in runs:
            self.source.metrics += keys_of(call.args[0] if call.args else None)
            self.source.reports = True
        elif name == "json.dumps" or name == "dumps":
            keys = keys_of(call.args[0] if call.args else None)
            self.source.metrics += [key for key in keys if key not in ("step", "_step", "epoch")]
            self.source.reports |= bool(keys)
        elif method == "add_scalar" and call.args and (tag := text_of(call.args[0])):
            self.source.metrics.append(tag)
            self.source.reports = True

    def _config(self, config: ast.expr | None) -> None:
        match config:
            case ast.Name():
                values = self.value(config)
                pairs = list(values.items()) if isinstance(values, dict) else []
            case ast.Dict(keys=keys, values=nodes):
                pairs = [(text_of(key), self.value(node)) for key, node in zip(keys, nodes, strict=True)]
            case ast.Call(func=ast.Name(id="dict"), keywords=keywords):
                pairs = [(keyword.arg, self.value(keyword.value)) for keyword in keywords]
            case _:
                return
        for name, value in pairs:
            if isinstance(name, str) and value is not UNKNOWN and not isinstance(value, dict):
                self.source.add(name, guesses.around(name, value), guessed=True)

    def _argument(self, call: ast.Call) -> None:
        """argparse's `add_argument`."""
        options = [text for node in call.args if (text := text_of(node))]
        name = next((option[2:] for option in options if option.startswith("--")), None)
        if name is None:
            self._positional(options[0] if options else None)
            return
        given = keywords_of(call)
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
        options = [text for node in call.args if (text := text_of(node))]
        name = next((option[2:] for option in options if option.startswith("--")), None)
        if name is None:
            return
        given = keywords_of(call)
        name, _, off = name.partition("/")
        default = self.value(given.get("default"))
        if off or self.value(given.get("is_flag")) is True:
            self._flag(off.lstrip("-") if off and default is True else name, False)
            return
        if self.value(given.get("multiple")) is True or "nargs" in given:
            self._left_out(name, "takes several values")
            return
        type_, choices, required = "", UNKNOWN, self.value(given.get("required")) is True
        match given.get("type"):
            case ast.Call(func=function) as made:
                type_ = ast.unparse(function)
                limits = arguments_of(made, ("min", "max"))
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
        elif default in (None, UNKNOWN):
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
