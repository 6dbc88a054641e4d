"""A small language model that is built locally: a Llama, pre-trained on docstrings of the standard library.

It is stored in ~/.cache/sweep (or $XDG_CACHE_HOME/sweep). One process builds it, in about a minute on one
core; all others wait for it and share the result.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

import torch
import transformers
from filelock import FileLock
from finetune_lm_text import choose, docstrings, library, take, to_blocks
from tokenizers import ByteLevelBPETokenizer

import sweep

VOCABULARY = 1024
CONTEXT = 128  # tokens of context
CHARACTERS = 1_500_000  # of docstrings
BATCH_SIZE = 8
PEAK_LR = 3e-3
END = "<|end|>"


def base_model(params: sweep.Params, device: str) -> Path:
    """The directory of the base model. If it is missing, one process builds it and the others wait.

    Args:
        params: width, layers and steps; each combination is a separate model.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sweep"
    cache.mkdir(parents=True, exist_ok=True)
    recipe = {
        **params,
        "python": sys.version_info[:3],
        "version": 1,
    }  # the text is the library of that Python
    place = cache / f"library-lm-{hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]}"
    if place.is_dir():
        return place
    with FileLock(f"{place}.lock"):  # the operating system releases it if its holder is killed
        if not place.is_dir():
            unfinished = cache / f".{place.name}"
            shutil.rmtree(unfinished, ignore_errors=True)  # of a builder that was killed
            with torch.random.fork_rng():
                torch.manual_seed(0)
                pretrain(params, device, unfinished)
            for file in unfinished.iterdir():
                with file.open("rb") as written:
                    os.fsync(written.fileno())
            unfinished.rename(place)
    return place


def pretrain(params: sweep.Params, device: str, folder: Path) -> None:
    """Train a small Llama and its byte-level BPE tokenizer on the docstrings of the standard library."""
    start = time.monotonic()
    text = take(map(docstrings, library().training), CHARACTERS)
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(text, vocab_size=VOCABULARY, special_tokens=[END], show_progress=False)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer, eos_token=END, pad_token=END
    )
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=params.width,
        intermediate_size=3 * params.width,
        num_hidden_layers=params.layers,
        num_attention_heads=params.width // 32,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = transformers.LlamaForCausalLM(config).to(device)
    blocks = to_blocks(text, tokenizer, CONTEXT)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LR, weight_decay=0.1, betas=(0.9, 0.95))
    scheduler = transformers.get_cosine_schedule_with_warmup(optimizer, params.steps // 10, params.steps)
    for step in range(params.steps):
        batch = choose(blocks, BATCH_SIZE, step, seed=0).to(device)
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    seconds = time.monotonic() - start
    print(f"pre-trained the base model in {seconds:.0f} s: loss {loss.item():.2f}", flush=True)
