"""Text for language models: documents, the held-out part of them, and batches.

By default it is Python's standard library, which every machine has: its docstrings are for pre-training, its
code without docstrings for fine-tuning. Whole modules are held out from both.
"""

from __future__ import annotations

import ast
import json
import random
import sysconfig
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor

HELD_OUT = 0.1
SPLIT_SEED = 0  # the same split for all trials, so that they are compared on the same text
TRAINING_CHARACTERS = 600_000  # of the library's code
HELD_OUT_CHARACTERS = 40_000
LEFT_OUT = {
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "encodings",
    "pydoc_data",
}


class Text(NamedTuple):
    """The training and the held-out part: documents, or blocks of tokens."""

    training: Any
    held_out: Any


def split(documents: Iterable[str]) -> Text:
    """Hold out a tenth of the documents, at least one."""
    kept = list(dict.fromkeys(documents))  # a duplicate could be in both parts
    if len(kept) < 2:
        raise ValueError(
            f"text: there are {len(kept)} documents; at least 2 are required, one of them held out"
        )
    random.Random(SPLIT_SEED).shuffle(kept)
    count = max(1, round(HELD_OUT * len(kept)))
    return Text(kept[count:], kept[:count])


@lru_cache(maxsize=1)
def documents(text: str | None) -> Text:
    """Documents to fine-tune on, loaded once per process.

    Args:
        text: a directory (each file that is not hidden is a document), a .jsonl file (the "text" of each line
            is a document), any other file (its last tenth is held out), or None for the library's code.
    """
    if text is None:
        training, held_out = library()
        return Text(
            take(map(code, training), TRAINING_CHARACTERS), take(map(code, held_out), HELD_OUT_CHARACTERS)
        )
    path = Path(text).expanduser()
    if path.is_file() and path.suffix != ".jsonl":
        whole = path.read_text(encoding="utf-8", errors="replace")
        cut = round((1 - HELD_OUT) * len(whole))
        return Text([whole[:cut]], [whole[cut:]])
    return split(read_documents(path))


def read_documents(path: Path) -> Iterator[str]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts):
                yield file.read_text(encoding="utf-8", errors="replace")
    elif path.is_file():
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
            if not line.strip():
                continue
            try:
                yield json.loads(line)["text"]
            except (ValueError, TypeError, KeyError):
                raise ValueError(f'text: {path}, line {number}: has to be like {{"text": "..."}}') from None
    else:
        raise FileNotFoundError(f"text: there is no file or directory {path}")


@lru_cache(maxsize=1)
def library() -> Text:
    """The sources of Python's standard library, without tests and tables."""
    root = Path(sysconfig.get_path("stdlib"))
    kept = [entry for entry in sorted(root.iterdir()) if entry.name not in LEFT_OUT]  # some are very large
    files = [file for entry in kept for file in ([entry] if entry.is_file() else sorted(entry.rglob("*.py")))]
    files = [
        file for file in files if file.suffix == ".py" and not LEFT_OUT & {*file.relative_to(root).parts}
    ]
    return split(file.read_text(encoding="utf-8", errors="replace") for file in files)


def documented(tree: ast.Module) -> list[tuple[Any, str]]:
    """The modules, classes and functions with a docstring, and the docstring."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    return [(node, text) for node in nodes if (text := ast.get_docstring(node))]


def docstrings(source: str) -> str:
    return "\n\n".join(text for _, text in documented(ast.parse(source)))


def code(source: str) -> str:
    """The source of a module without docstrings and comments."""
    tree = ast.parse(source)
    for node, _ in documented(tree):
        node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def take(texts: Iterable[str], characters: int) -> list[str]:
    """The first non-empty texts, up to a number of characters; the last one is truncated."""
    taken: list[str] = []
    for text in filter(None, texts):
        taken.append(text[:characters])
        characters -= len(text)
        if characters <= 0:
            break
    return taken


def to_blocks(documents: list[str], tokenizer: transformers.PreTrainedTokenizerBase, length: int) -> Tensor:
    """All documents, concatenated, as blocks of tokens (N, length). The incomplete last block is left out."""
    end = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
    tokens: list[int] = []
    for encoded in tokenizer(documents, add_special_tokens=False)["input_ids"]:
        tokens += encoded + end
    if len(tokens) < length:
        raise ValueError(
            f"text: {len(tokens)} tokens for training or validation; a block (context) has {length}"
        )
    return torch.tensor(tokens[: len(tokens) // length * length]).view(-1, length)


def choose(blocks: Tensor, size: int, step: int, seed: int) -> Tensor:
    """The batch of a step, from 0. The order of each epoch depends on the seed only."""
    size = min(size, len(blocks))
    epoch, index = divmod(step, len(blocks) // size)
    return blocks[shuffled(len(blocks), seed + epoch)[index * size : (index + 1) * size]]


@lru_cache(maxsize=1)
def shuffled(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))
