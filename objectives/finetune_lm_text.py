"""Text for language models: documents, which of them are held out, and the batches that are made of them.

Without a text of the user's it is Python's standard library, which every machine has: the docstrings are for
pre-training, the code without them is for fine-tuning. Whole modules are held out, from both.
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
SPLIT_SEED = 0  # the same split for all trials: they are compared on the same text
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
    """What is trained on, and what is not: documents, or blocks of tokens."""

    training: Any
    held_out: Any


def split(documents: Iterable[str]) -> Text:
    """Hold out a tenth of the documents, at least one."""
    kept = list(dict.fromkeys(documents))  # one that is there twice would be on both sides
    if len(kept) < 2:
        raise ValueError(f"text: there are {len(kept)} documents; at least 2 are needed, one to be held out")
    random.Random(SPLIT_SEED).shuffle(kept)
    count = max(1, round(HELD_OUT * len(kept)))
    return Text(kept[count:], kept[:count])


@lru_cache(maxsize=1)
def documents(text: str | None) -> Text:
    """Documents to fine-tune on; read once per process.

    Args:
        text: a folder (each file is a document, but hidden ones are not), a .jsonl file (the "text" of
            each line is one), any other file (its last tenth is held out), or None for the library's code.
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
        raise FileNotFoundError(f"text: there is no file or folder {path}")


@lru_cache(maxsize=1)
def library() -> Text:
    """The sources of Python's standard library, without tests and tables."""
    root = Path(sysconfig.get_path("stdlib"))
    kept = [entry for entry in sorted(root.iterdir()) if entry.name not in LEFT_OUT]  # some are huge
    files = [file for entry in kept for file in ([entry] if entry.is_file() else sorted(entry.rglob("*.py")))]
    files = [
        file for file in files if file.suffix == ".py" and not LEFT_OUT & {*file.relative_to(root).parts}
    ]
    return split(file.read_text(encoding="utf-8", errors="replace") for file in files)


def documented(tree: ast.Module) -> list[tuple[Any, str]]:
    """Whatever has a docstring, with that."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    return [(node, text) for node in nodes if (text := ast.get_docstring(node))]


def docstrings(source: str) -> str:
    return "\n\n".join(text for _, text in documented(ast.parse(source)))


def code(source: str) -> str:
    """A module without docstrings and comments."""
    tree = ast.parse(source)
    for node, _ in documented(tree):
        node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def take(texts: Iterable[str], characters: int) -> list[str]:
    """The first ones that are not empty, until there are so many characters; the last one is cut."""
    taken: list[str] = []
    for text in filter(None, texts):
        taken.append(text[:characters])
        characters -= len(text)
        if characters <= 0:
            break
    return taken


def to_blocks(documents: list[str], tokenizer: transformers.PreTrainedTokenizerBase, length: int) -> Tensor:
    """All documents one after the other as tokens (N, length); what does not fill a block is left out."""
    end = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
    tokens: list[int] = []
    for encoded in tokenizer(documents, add_special_tokens=False)["input_ids"]:
        tokens += encoded + end
    if len(tokens) < length:
        raise ValueError(
            f"text: {len(tokens)} tokens to train on or to hold out do not make a block of {length} (context)"
        )
    return torch.tensor(tokens[: len(tokens) // length * length]).view(-1, length)


def choose(blocks: Tensor, size: int, step: int, seed: int) -> Tensor:
    """The batch of a step, counted from 0. Only the seed decides on each epoch's order."""
    size = min(size, len(blocks))
    epoch, index = divmod(step, len(blocks) // size)
    return blocks[shuffled(len(blocks), seed + epoch)[index * size : (index + 1) * size]]


@lru_cache(maxsize=1)
def shuffled(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))
