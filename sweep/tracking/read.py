"""Reading scalars back from event files: what a worker wrote before it was killed."""

from __future__ import annotations

from pathlib import Path

from sweep.tracking.events import event_files
from sweep.tracking.hparams import SESSION_END_TAG


def read_scalars(run: Path) -> dict[str, dict[int, float]]:
    """All scalars of a run directory: for each tag its values by step, in the order written.

    A record that was cut off in the middle ends its file. Values have single precision, as in TensorBoard.
    """
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
    from tensorboard.compat.proto.event_pb2 import SessionLog

    scalars: dict[str, dict[int, float]] = {}
    for file in event_files(run):
        for event in LegacyEventFileLoader(str(file)).Load():
            if event.HasField("session_log") and event.session_log.status == SessionLog.START:
                # Another attempt began: what the last one wrote from this step on is void.
                for tag, values in scalars.items():
                    scalars[tag] = {step: value for step, value in values.items() if step < event.step}
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    scalars.setdefault(value.tag, {})[event.step] = value.simple_value
    return {tag: values for tag, values in scalars.items() if values}


def has_ended(run: Path) -> bool:
    """Whether TensorBoard has been told the outcome of a run."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    return any(
        value.tag == SESSION_END_TAG
        for file in event_files(run)
        for event in LegacyEventFileLoader(str(file)).Load()
        for value in event.summary.value
    )
