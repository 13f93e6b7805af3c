"""What the dynamics make of a plan: the feedback that a refinement cycle reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from trc_core.batch_rollout import BatchRollout
from trc_core.models.plan_representation import PlanRepresentation
from trc_core.systems.base import System

DynamicsFunction = Callable[[Tensor, Tensor], Tensor]


class Iterate(NamedTuple):
    """A batch of plans and what is known of them; None where it is not known."""

    v: Tensor
    """(B, T, n_u), float64; carries the gradient of the training losses."""
    controls: Tensor
    """(B, T, n_u), inside the bounds."""
    states: Tensor | None = None
    """(B, N, n_x): the trajectory (N = T + 1) or only its end (N = 1)."""
    cost: Tensor | None = None
    """J (B,)."""
    gradient: Tensor | None = None
    """Projected dJ/dv (B, T, n_u)."""


def choose(mask: Tensor, first: Iterate, second: Iterate) -> Iterate:
    """Row by row, `first` where mask (B,) is true, else `second`."""
    pick = [
        None if a is None or b is None else torch.where(mask.view(-1, *[1] * (a.dim() - 1)), a, b)
        for a, b in zip(first, second, strict=True)
    ]
    return Iterate(*pick)  # type: ignore[arg-type]


def replace_rows(iterate: Iterate, rows: Tensor, part: Iterate) -> Iterate:
    """`iterate` with the rows of the index `rows` (N,) replaced by those of `part`."""
    merged = [
        None if a is None or b is None else a.index_put((rows,), b)
        for a, b in zip(iterate, part, strict=True)
    ]
    return Iterate(*merged)  # type: ignore[arg-type]


class NoDynamics:
    """Nothing is known of the plant: controls are the clipped plan."""

    def __init__(self, representation: PlanRepresentation) -> None:
        if representation.has_feedback:
            raise ValueError('a stabilised plan needs dynamics_fn: pass the System')
        self.representation = representation

    def simulate(self, v: Tensor, current_state: Tensor, target_state: Tensor) -> Iterate:
        """What becomes of the plans v (B, T, n_u)."""
        return Iterate(v, self.representation.open_loop_controls(v))

    def guard(
        self,
        iterate: Iterate,
        proposal: Iterate,
        step: Tensor,
        current_state: Tensor,
        target_state: Tensor,
    ) -> Iterate:
        """The plan to go on with; without a cost, whatever was proposed."""
        return proposal


class FunctionDynamics(NoDynamics):
    """A function (state (B, n_x), controls (B, T, n_u)) -> final states or trajectories."""

    def __init__(self, representation: PlanRepresentation, function: DynamicsFunction) -> None:
        super().__init__(representation)
        self.function = function

    def simulate(self, v: Tensor, current_state: Tensor, target_state: Tensor) -> Iterate:
        controls = self.representation.open_loop_controls(v)
        states = self.function(current_state, controls.to(current_state.dtype))
        n_x = current_state.shape[-1]
        if states.shape[0] != v.shape[0] or states.shape[-1] != n_x or states.dim() not in (2, 3):
            raise ValueError(
                f'dynamics_fn returned shape {tuple(states.shape)}, expected final states '
                f'({v.shape[0]}, {n_x}) or trajectories ({v.shape[0]}, T + 1, {n_x})'
            )
        return Iterate(v, controls, states if states.dim() == 3 else states[:, None])


class SystemDynamics:
    """The generated dynamics of a `System`: trajectories, costs and exact gradients.

    The plan that comes back is re-projected, so that it reproduces the clipped controls; the
    gradient of a loss passes straight through to the plan that was proposed.
    """

    def __init__(self, representation: PlanRepresentation, system: System) -> None:
        self.representation = representation
        self.system = system
        self.batch = BatchRollout(system, representation.K.cpu().numpy())

    def simulate(self, v: Tensor, current_state: Tensor, target_state: Tensor) -> Iterate:
        plan, x0, goal = (
            a.detach().double().cpu().contiguous().numpy()
            for a in (v, current_state, target_state)
        )
        x, u, J = self.batch.rollout(plan, x0, goal)
        plan = self.batch.reproject(x, u, goal)
        gradient = self.batch.gradient(plan, x, u, goal)
        projected, controls, states, cost, slope = (
            torch.from_numpy(a).to(v.device) for a in (plan, u, x, J, gradient)
        )
        if not self.representation.has_feedback:
            controls = self.representation.open_loop_controls(v)
        return Iterate(projected + (v - v.detach()), controls, states, cost, slope)

    def guard(
        self,
        iterate: Iterate,
        proposal: Iterate,
        step: Tensor,
        current_state: Tensor,
        target_state: Tensor,
    ) -> Iterate:
        """The proposal where it lowers J, else a quarter of its step, else the plan as it was."""
        assert proposal.cost is not None and iterate.cost is not None
        better = proposal.cost < iterate.cost
        chosen = choose(better, proposal, iterate)
        rows = torch.nonzero(~better).flatten()
        if not len(rows):
            return chosen
        old = Iterate(*(None if a is None else a[rows] for a in iterate))  # type: ignore[arg-type]
        quarter = self.simulate(old.v + step[rows] / 4, current_state[rows], target_state[rows])
        assert quarter.cost is not None and old.cost is not None
        return replace_rows(chosen, rows, choose(quarter.cost < old.cost, quarter, old))


Dynamics = NoDynamics | FunctionDynamics | SystemDynamics


def as_dynamics(
    representation: PlanRepresentation, dynamics_fn: DynamicsFunction | System | None
) -> Dynamics:
    """The `Dynamics` for what a user may pass as `dynamics_fn`."""
    if dynamics_fn is None:
        return NoDynamics(representation)
    if isinstance(dynamics_fn, System):
        return SystemDynamics(representation, dynamics_fn)
    if not callable(dynamics_fn):
        raise TypeError('dynamics_fn must be a System, a function or None')
    return FunctionDynamics(representation, dynamics_fn)
