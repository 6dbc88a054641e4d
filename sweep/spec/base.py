"""What all models of the sweep file have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Frozen, and strict about its keys: an unknown one is a mistake, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
