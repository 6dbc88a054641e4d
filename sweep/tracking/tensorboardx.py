"""tensorboardX without torch.

`import tensorboardX` imports torch wherever it is installed: 1.9 s instead of 0.1 s on the machine this was
written on, in every worker. Marking torch as absent during that import costs nothing: histograms, images,
graphs and embeddings work when the objective imports torch later.

Everything of sweep that needs tensorboardX imports it from here.
"""

from __future__ import annotations

import sys

_torch_was_loaded = "torch" in sys.modules
if not _torch_was_loaded:
    sys.modules["torch"] = None  # type: ignore[assignment]
try:
    from tensorboardX import SummaryWriter
    from tensorboardX.proto import api_pb2, event_pb2, plugin_hparams_pb2, summary_pb2
    from tensorboardX.record_writer import RecordWriter, masked_crc32c
    from tensorboardX.writer import FileWriter
finally:
    if not _torch_was_loaded:
        del sys.modules["torch"]

__all__ = [
    "FileWriter",
    "RecordWriter",
    "SummaryWriter",
    "api_pb2",
    "event_pb2",
    "masked_crc32c",
    "plugin_hparams_pb2",
    "summary_pb2",
]
