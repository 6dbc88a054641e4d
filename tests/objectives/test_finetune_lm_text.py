"""The text for language models: documents, the held-out part of them, and batches."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "objectives"))
import finetune_lm_text


def test_the_held_out_modules_are_not_in_the_training_text() -> None:
    training, held_out = finetune_lm_text.library()
    assert not set(training) & set(held_out)
    assert len(held_out) == pytest.approx(0.1 * (len(training) + len(held_out)), abs=1)
    text = finetune_lm_text.documents(None)
    assert sum(map(len, text.training)) == finetune_lm_text.TRAINING_CHARACTERS
    assert sum(map(len, text.held_out)) == finetune_lm_text.HELD_OUT_CHARACTERS
    assert not set(text.training) & set(text.held_out)


def test_docstrings_and_code_are_separate_texts() -> None:
    source = 'def f(x):\n    """Gives it back."""\n    return x  # so\n\nclass A:\n    """Empty."""\n'
    assert finetune_lm_text.docstrings(source) == "Gives it back.\n\nEmpty."
    assert finetune_lm_text.code(source) == "def f(x):\n    return x\n\nclass A:\n    pass"


def test_directories_and_json_lines_are_split_by_documents(tmp_path: Path) -> None:
    texts = [f"document {number}" for number in range(30)]
    folder = tmp_path / "folder"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "config").write_text("hidden")
    for number, text in enumerate([*texts, texts[0]]):
        (folder / f"{number}.txt").write_text(text)
    lines = tmp_path / "lines.jsonl"
    lines.write_text("".join(json.dumps({"text": text}) + "\n" for text in [*texts, texts[0]]))
    for place in (folder, lines):
        training, held_out = finetune_lm_text.documents(str(place))
        assert sorted([*training, *held_out]) == sorted(texts)
        assert len(held_out) == 3
    lines.write_text('{"text": "a"}\n{"txt": "b"}\n')
    finetune_lm_text.documents.cache_clear()
    with pytest.raises(ValueError, match=r"lines.jsonl, line 2: has to be like"):
        finetune_lm_text.documents(str(lines))


def test_an_epoch_uses_every_block_once() -> None:
    blocks = torch.arange(12).view(12, 1)
    epochs = [
        [finetune_lm_text.choose(blocks, 4, 3 * epoch + step, seed=5) for step in range(3)]
        for epoch in (0, 1)
    ]
    seen = [torch.cat(batches).flatten().tolist() for batches in epochs]
    assert [sorted(order) for order in seen] == [list(range(12))] * 2
    assert seen[0] != seen[1]
    assert torch.equal(finetune_lm_text.choose(blocks, 4, 1, seed=5), epochs[0][1])
