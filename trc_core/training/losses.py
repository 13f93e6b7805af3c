"""Training losses: each reaches every cycle, and none rewards a bad first plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trc_core.models.plan_representation import Units
from trc_core.models.simulation import Iterate, choose


def imitation_loss(units: Units, plans: Sequence[Tensor], target: Tensor) -> Tensor:
    """Mean squared distance of every cycle's plan to the expert's, in the plan's own metric.

    Args:
        units: of the problems.
        plans: K + 1 of (B, T, n_u), the first plan and that of every cycle.
        target: (B, T, n_u), the expert's plan in the same coordinates.
    """
    return torch.stack([units.metric(plan - target).square().mean() for plan in plans]).mean()


@dataclass(frozen=True)
class CostWeights:
    """Weights of the rows of a batch in the losses made of J."""

    threshold: float = 2.0
    """Rows with a steeper (dimensionless) gradient than this count less, by ..."""
    power: float = 1.0
    """... (threshold / gradient)^power."""
    harm: float = 0.1
    """A step is harmful where it raises J by more than this many s^2."""
    penalty: float = 3.0
    """Weight of |o|^2 where the step o is harmful."""


def cost_loss(units: Units, plan: Iterate, weights: CostWeights) -> Tensor:
    """The mean of J / s^2, with its exact gradient from the adjoint.

    Rows with a steep cost count less in the gradient, not in the value: see `CostWeights`. The
    steepness is with respect to the dimensionless output.
    """
    assert plan.gradient is not None and plan.cost is not None
    steepness = units.gradient(plan.gradient).square().sum((1, 2)).sqrt()
    weight = (weights.threshold / steepness.clamp_min(weights.threshold)) ** weights.power
    slope = plan.gradient * (weight / units.s**2)[:, None, None]
    along = (slope.detach() * (plan.v - plan.v.detach())).sum((1, 2))  # zero, with that gradient
    return ((plan.cost / units.s**2).detach() + along).mean()


def process_loss(units: Units, plans: Sequence[Iterate], weights: CostWeights) -> Tensor:
    """Process supervision: J / s^2 of the first plan and of every cycle's, summed.

    It only adds up: an improvement over an earlier cycle is no reward of its own, which a bad
    first plan could buy.
    """
    return torch.stack([cost_loss(units, plan, weights) for plan in plans]).sum()


def refinement_loss(
    units: Units,
    before: Iterate,
    step: Tensor,
    proposal: Iterate,
    after: Iterate,
    weights: CostWeights,
) -> Tensor:
    """Cost loss of a proposed step, with a penalty on the size of harmful ones.

    A step that makes a plan a little worse counts with the cost of its own plan. A harmful one
    counts with the cost of the plan that the guard took instead, and its size is penalised.

    Args:
        units: of the problems.
        before: the plans.
        step: (B, T, n_u), the network's change of them.
        proposal: the plans `before.v + step`.
        after: the plans that the guard has taken.
        weights: the limit of harmful steps, and their penalty.
    """
    assert proposal.cost is not None and before.cost is not None
    harmful = ~(proposal.cost <= before.cost + weights.harm * units.s**2)
    evaluated = choose(harmful, after, proposal)._replace(v=before.v + step)
    size = units.metric(step).square().sum((1, 2)) * harmful
    return cost_loss(units, evaluated, weights) + weights.penalty * size.mean()


def local_distance(
    plans: Tensor, target: Tensor, form: Tensor, held: Tensor
) -> tuple[Tensor, Tensor]:
    """Distance of plans to the optimal one, by predicted cost and by the mean square.

    Both leave out changes that the control bounds undo (`expansion.local_form`), which shows in
    these units where the metric L is diagonal, as it is for gated and open-loop plans.

    Args:
        plans: (B, H, T, n_u), dimensionless as `Units.metric`.
        target: (B, T, n_u), the optimal plan.
        form: (B, T n_u, T n_u), M of the local quadratic form of J.
        held: (B, T, n_u), 1 or -1 where the optimum is on its upper or lower bound.

    Returns:
        (J - J*) / J* as predicted, (B, H), and the mean square of the distance, (B, H).
    """
    away = plans - target[:, None]
    away = (away - (away * held[:, None]).clamp_min(0) * held[:, None]).flatten(2)
    predicted = torch.bmm(away, form.mT).square().sum(-1)
    return predicted, away.square().mean(-1)


def robust_distance(
    predicted: Tensor, distance: Tensor, sharpness: float, weight: float
) -> Tensor:
    """Robust distance log(1 + sharpness q) + weight d of a `local_distance` (q, d)."""
    return torch.log1p(sharpness * predicted) + weight * distance


def hypothesis_loss(distances: Tensor, spread: float) -> Tensor:
    """Distance (B, H) of the nearest hypothesis, and a small share of that of all.

    The share `spread` keeps hypotheses alive that are never the nearest.
    """
    return (1 - spread) * distances.amin(1).mean() + spread * distances.mean()
