"""The seed of a sweep, and the seeds derived from it."""

from __future__ import annotations

import hashlib
import secrets

import optuna

from sweep.study.attributes import SEED
from sweep.sweepfile import SweepSpec


def stored_seed(spec: SweepSpec, study: optuna.Study | None) -> int | None:
    """The seed from which all seeds of a sweep are derived; None if none has been drawn yet."""
    if spec.sampler.seed is not None:
        return spec.sampler.seed
    seed = study.user_attrs.get(SEED) if study is not None else None
    return None if seed is None else int(seed)


def sweep_seed(spec: SweepSpec, study: optuna.Study) -> int:
    """The sweep file's seed, or one that is drawn once and stored in the study."""
    seed = stored_seed(spec, study)
    if seed is None:
        seed = secrets.randbits(32)
        study.set_user_attr(SEED, seed)
    return seed


def derive_seed(*parts: object) -> int:
    """Derive a seed below 2**32 from all `parts`. It is the same on every machine."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big")
