"""Training losses. Each reaches every cycle, and none rewards a bad first plan."""

from __future__ import annotations

import torch
from torch import Tensor

from trc_core.models.plan_representation import PlanRepresentation
from trc_core.models.simulation import Iterate


def imitation_loss(
    representation: PlanRepresentation, plans: Tensor, target: Tensor, s: Tensor
) -> Tensor:
    """Mean squared distance of every cycle's plan to the expert's, in the plan's own metric.

    Args:
        representation: gives the metric L_t.
        plans: (B, K + 1, T, n_u), the first plan and that of every cycle.
        target: (B, T, n_u), the expert's plan in the same coordinates.
        s: (B,), size of the initial error.
    """
    distance = plans - target[:, None]
    metric = torch.einsum('tji,bktj->bkti', representation.L, distance)
    return (metric / s[:, None, None, None]).square().mean()


def cost_loss(
    representation: PlanRepresentation,
    proposal: Iterate,
    s: Tensor,
    threshold: float,
    power: float,
) -> Tensor:
    """A surrogate whose gradient is that of J / s^2, summed over the batch's weighted rows.

    The exact gradient dJ/dv is known from the adjoint, so the loss is linear in the plan. Rows
    with a steep cost count less, by (threshold / max(threshold, |gradient|))^power, the
    gradient taken with respect to the dimensionless output.
    """
    assert proposal.gradient is not None
    steepness = representation.metric_gradient(proposal.gradient, s).square().sum((1, 2)).sqrt()
    weight = (threshold / steepness.clamp_min(threshold)) ** power
    slope = proposal.gradient * (weight / s**2)[:, None, None]
    return (slope.detach() * proposal.v).sum((1, 2)).mean()
