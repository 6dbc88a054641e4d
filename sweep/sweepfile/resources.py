"""The sweep file's `resources`: what one trial requires."""

from __future__ import annotations

from pydantic import Field, model_validator

from sweep.sweepfile.base import Model
from sweep.sweepfile.cluster_entries import CustomResources, Labels
from sweep.sweepfile.types import AUTO, Flag, GpusOrAuto, NonNegativeNumber, PositiveInteger, invalid


class Resources(Model):
    """The resources of one trial: `cpu` cores and `gpu` GPUs, each whole numbers or a share of one.

    With `gpu: auto` the first trials have a GPU each; then as many share one as its memory holds. With `mps`
    the trials on a GPU use NVIDIA's Multi-Process Service.

    With `workers`, that many workers run each trial together, on one machine or several. Each has these
    resources.

    On a Ray cluster, `custom` are amounts of resources that its machines have been given, and `labels` are
    labels that a machine must have.
    """

    cpu: NonNegativeNumber = 1
    gpu: GpusOrAuto = 0
    workers: PositiveInteger = 1
    mps: Flag = False
    custom: CustomResources = Field(default_factory=dict)
    labels: Labels = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Resources:
        if self.mps and self.gpu == 0:
            raise invalid("is for trials on a GPU; set gpu, for example gpu: 0.5", key="mps")
        if self.workers > 1 and self.cpu == 0 and self.gpu == 0:
            raise invalid("need cpu or gpu above 0: the share of each worker", key="workers")
        if self.workers > 1 and self.is_auto:
            raise invalid("cannot share GPUs automatically; set gpu, for example gpu: 1", key="workers")
        return self

    @property
    def is_auto(self) -> bool:
        """Whether it is measured how many trials share a GPU."""
        return self.gpu == AUTO

    @property
    def gpus(self) -> float:
        """The GPUs of a trial, or its share of one; with `auto` those of the first trials."""
        return 1.0 if isinstance(self.gpu, str) else float(self.gpu)
