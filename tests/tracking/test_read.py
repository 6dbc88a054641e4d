"""Reading scalars from a run's event files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from sweep.tracking.read import read_scalars


@pytest.mark.parametrize("as_tensors", [False, True])
def test_scalars_are_numbers_or_tensors(tmp_path: Path, as_tensors: bool) -> None:
    with SummaryWriter(str(tmp_path)) as writer:
        for step in range(3):
            writer.add_scalar("loss", step / 2, step, new_style=as_tensors)
        writer.add_text("note", "0.5", 0)
        writer.add_histogram("weights", torch.ones(2), 0)
    assert read_scalars(tmp_path) == {"loss": {0: 0.0, 1: 0.5, 2: 1.0}}
