"""The strongest interaction: the pair of parameters whose joint effect is more than the sum of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sweep.analysis.metric_model import MetricModel

_SMALLEST = 0.02
"""The smallest share of the metric's variation that is worth a sentence."""
_EVIDENCE = 6.0
"""The smallest log likelihood ratio: with 28 pairs and none of them real, 2 % of sweeps have one."""
_TRIED = 2
"""How many pairs are tested, those with the largest shares first."""


@dataclass(frozen=True)
class Interaction:
    """Two parameters that act together.

    Args:
        names: the parameters.
        share: the share of the metric's variation over the space, from 0 to 1.
        low: the lower end of its 95 % range.
        high: its upper end.
        evidence: the log likelihood ratio of the surrogate with and without it.
    """

    names: tuple[str, str]
    share: float
    low: float
    high: float
    evidence: float


def strongest_interaction(model: MetricModel) -> Interaction | None:
    """The strongest interaction; None if none is sure."""
    pairs = model.surrogate.space.pairs
    if not model.is_enough or not pairs:
        return None
    means = model.shares.pairs.mean(axis=0)
    for place in np.argsort(-means, kind="stable")[:_TRIED]:
        evidence = model.surrogate.evidence_of_pair(pairs[place]) if means[place] >= _SMALLEST else 0.0
        if evidence >= _EVIDENCE:
            low, high = np.quantile(model.shares.pairs[:, place], [0.025, 0.975])
            i, j = pairs[place]
            names = (model.dimensions[i].name, model.dimensions[j].name)
            return Interaction(names, float(means[place]), float(low), float(high), evidence)
    return None
