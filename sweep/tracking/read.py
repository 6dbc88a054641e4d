"""Reading scalars back from event files: what a worker wrote before it was killed."""

from __future__ import annotations

from pathlib import Path

from sweep.tracking.events import event_files


def read_scalars(run: Path) -> dict[str, dict[int, float]]:
    """All scalars of a run directory: for each tag its values by step, in the order written.

    A record that was cut off in the middle ends its file. Values have single precision, as in TensorBoard.
    """
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    scalars: dict[str, dict[int, float]] = {}
    for file in event_files(run):
        for event in LegacyEventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    scalars.setdefault(value.tag, {})[event.step] = value.simple_value
    return scalars
