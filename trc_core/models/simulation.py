"""What the dynamics make of a plan: the feedback that a refinement cycle reads."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from trc_core.batch_rollout import BatchRollout
from trc_core.cost import trajectory_cost
from trc_core.models.plan_representation import PlanRepresentation
from trc_core.rollout import BOUND_TOLERANCE
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


class Dynamics(ABC):
    """A plant, as refinement sees it."""

    def __init__(self, representation: PlanRepresentation) -> None:
        self.representation = representation

    @abstractmethod
    def simulate(self, v: Tensor, current_state: Tensor, target_state: Tensor) -> Iterate:
        """What becomes of the plans v (B, T, n_u)."""

    def starts(self, current_state: Tensor, target_state: Tensor) -> list[Iterate]:
        """Plans that refinement may start from, beside the network's own."""
        return []

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


class NoDynamics(Dynamics):
    """Nothing is known of the plant: controls are the clipped plan."""

    def __init__(self, representation: PlanRepresentation) -> None:
        if representation.has_feedback:
            raise ValueError('a stabilised plan needs dynamics_fn: pass the System')
        super().__init__(representation)

    def simulate(self, v: Tensor, current_state: Tensor, target_state: Tensor) -> Iterate:
        return Iterate(v, self.representation.open_loop_controls(v))


class FunctionDynamics(NoDynamics):
    """A function (state (B, n_x), controls (B, T, n_u)) -> final states or trajectories."""

    def __init__(self, representation: PlanRepresentation, function: DynamicsFunction) -> None:
        super().__init__(representation)
        self.function = function

    def simulate(self, v: Tensor, current_state: Tensor, target_state: Tensor) -> Iterate:
        controls = self.representation.open_loop_controls(v)
        # a copy: functions that step a state in place would move the problem itself
        states = self.function(current_state.clone(), controls.to(current_state.dtype))
        B, n_x = current_state.shape
        T = v.shape[1]
        if tuple(states.shape) not in ((B, n_x), (B, T + 1, n_x)):
            raise ValueError(
                f'dynamics_fn returned shape {tuple(states.shape)}, expected final states '
                f'({B}, {n_x}) or trajectories ({B}, {T + 1}, {n_x})'
            )
        if not torch.compiler.is_compiling() and not torch.isfinite(states).all():
            raise ValueError('dynamics_fn returned states that are not finite')
        return Iterate(v, controls, states if states.dim() == 3 else states[:, None])


class CostedDynamics(Dynamics):
    """Dynamics of a `System`: the cost of a plan is known, so that no cycle need be a loss.

    Plans that come back are re-projected, so that they reproduce the clipped controls; the
    gradient of a loss passes straight through to the plan that was proposed.

    Args:
        representation: of the plans.
        system: the plant.
    """

    def __init__(self, representation: PlanRepresentation, system: System) -> None:
        super().__init__(representation)
        self.system = system

    @abstractmethod
    def _follow(self, K: int | None, v: Tensor, x0: Tensor, goal: Tensor) -> Iterate:
        """The trajectory of v under the gains K_start[K], or the representation's own."""

    def simulate(self, v: Tensor, current_state: Tensor, target_state: Tensor) -> Iterate:
        found = self._follow(None, v.detach(), current_state.detach(), target_state.detach())
        if not self.representation.has_feedback:
            found = found._replace(controls=self.representation.open_loop_controls(v))
        return found._replace(v=found.v + (v - v.detach()))

    def starts(self, current_state: Tensor, target_state: Tensor) -> list[Iterate]:
        """The clipped LQR plans of the representation."""
        B, T, n_u = len(current_state), self.system.horizon, self.system.n_u
        zero = self.representation.K.new_zeros(B, T, n_u)
        states = current_state.detach(), target_state.detach()
        return [self._follow(k, zero, *states) for k in range(len(self.representation.K_start))]

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
        if torch.compiler.is_compiling():  # how many rows are worse is not known there
            quarter = self.simulate(iterate.v + step / 4, current_state, target_state)
            assert quarter.cost is not None
            return choose(~better & (quarter.cost < iterate.cost), quarter, chosen)
        rows = torch.nonzero(~better).flatten()
        if not len(rows):
            return chosen
        old = Iterate(*(None if a is None else a[rows] for a in iterate))  # type: ignore[arg-type]
        quarter = self.simulate(old.v + step[rows] / 4, current_state[rows], target_state[rows])
        assert quarter.cost is not None and old.cost is not None
        return replace_rows(chosen, rows, choose(quarter.cost < old.cost, quarter, old))


class SystemDynamics(CostedDynamics):
    """Compiled trajectories, costs and exact gradients, on every core of the CPU.

    PyTorch's compiler and exporter see one opaque operator, `trc::follow`, which finds the plant
    by name: an exported program runs where a `SystemDynamics` of the same plant exists.
    """

    def __init__(self, representation: PlanRepresentation, system: System) -> None:
        super().__init__(representation, system)
        self.name = _register(representation, system)

    def _follow(self, K: int | None, v: Tensor, x0: Tensor, goal: Tensor) -> Iterate:
        run = _follow_operator if torch.compiler.is_compiling() else _follow_compiled
        return Iterate(
            *run(v.double(), x0.double(), goal.double(), -1 if K is None else K, self.name)
        )


Plant = tuple[BatchRollout, np.ndarray[Any, Any]]
PLANTS: dict[str, Plant] = {}


@torch.compiler.assume_constant_result
def _register(representation: PlanRepresentation, system: System) -> str:
    K, K_start = representation.gains
    contract = json.dumps(system.contract(), sort_keys=True) + system.functions.__name__
    digest = hashlib.sha256(contract.encode() + K.tobytes() + K_start.tobytes())
    name = f'{system.name}_{digest.hexdigest()[:16]}'
    if name not in PLANTS:
        PLANTS[name] = BatchRollout(system, K), K_start
    return name


def _follow_compiled(
    v: Tensor, x0: Tensor, goal: Tensor, start: int, plant: str
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """(v, controls, states, cost, gradient) of plans, as `Iterate` names them."""
    batch, K_start = PLANTS[plant]
    plan, x, goals = (a.contiguous().numpy() for a in (v, x0, goal))
    states, controls, cost = batch.rollout(plan, x, goals, None if start < 0 else K_start[start])
    plan = batch.reproject(states, controls, goals)
    gradient = batch.gradient(plan, states, controls, goals)
    found = (torch.from_numpy(a) for a in (plan, controls, states, cost, gradient))
    return tuple(found)  # type: ignore[return-value]


_follow_operator = torch.library.custom_op(
    'trc::follow',
    _follow_compiled,
    mutates_args=(),
    schema='(Tensor v, Tensor x0, Tensor goal, int start, str plant) '
    '-> (Tensor, Tensor, Tensor, Tensor, Tensor)',
)


@_follow_operator.register_fake
def _(
    v: Tensor, x0: Tensor, goal: Tensor, start: int, plant: str
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Shapes of what the operator returns."""
    B, T, _ = v.shape
    states, cost = v.new_empty(B, T + 1, x0.shape[1]), v.new_empty(B)
    return torch.empty_like(v), torch.empty_like(v), states, cost, torch.empty_like(v)


class TorchDynamics(CostedDynamics):
    """The same in plain PyTorch operations: slow on a CPU, but at home on any device."""

    def _follow(self, K: int | None, v: Tensor, x0: Tensor, goal: Tensor) -> Iterate:
        representation = self.representation
        gains = representation.K if K is None else representation.K_start[K]
        x0, goal = x0.double(), goal.double()
        states, controls, cost = self._rollout(gains, v.double(), x0, goal)
        error = states[:, :-1] - goal[:, None]
        v = (
            controls
            - representation.u_trim
            + torch.einsum('tij,btj->bti', representation.K, error)
        )
        with torch.enable_grad():
            v.requires_grad_()
            J = self._rollout(representation.K, v, x0, goal)[2]
            (gradient,) = torch.autograd.grad(J.sum(), v)
        return Iterate(v.detach(), controls, states, cost, gradient)

    def _rollout(
        self, K: Tensor, v: Tensor, x0: Tensor, goal: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """States (B, T + 1, n_x), controls (B, T, n_u), J (B,), differentiable in v."""
        from trc_core.systems.codegen import torch_step

        step, limits = torch_step(self.system), self.representation
        x, states, controls = x0, [x0], []
        for t in range(v.shape[1]):
            raw = limits.u_trim + v[:, t] - (x - goal) @ K[t].mT
            u = ProjectedClip.apply(raw, limits.u_min, limits.u_max)
            x = step(x, u)
            states.append(x)
            controls.append(u)
        trajectory = torch.stack(states, 1), torch.stack(controls, 1)
        return *trajectory, trajectory_cost(self.system, *trajectory, goal)


class ProjectedClip(torch.autograd.Function):
    """`clip` whose derivative is that of the kernel `rollout.gradient`.

    A raw control on a bound passes a slope only if descent along it leads back inside.
    """

    @staticmethod
    def forward(ctx: Any, raw: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
        """The raw controls within their bounds."""
        ctx.save_for_backward(raw, lower, upper)
        return torch.clamp(raw, lower, upper)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        """The projected slope."""
        raw, lower, upper = ctx.saved_tensors
        slope = upstream[0]
        slope = torch.where(raw >= upper - BOUND_TOLERANCE, slope.clamp(min=0), slope)
        slope = torch.where(raw <= lower + BOUND_TOLERANCE, slope.clamp(max=0), slope)
        beyond = (raw < lower - BOUND_TOLERANCE) | (raw > upper + BOUND_TOLERANCE)
        return torch.where(beyond, 0.0, slope), None, None


def as_dynamics(
    representation: PlanRepresentation, dynamics_fn: DynamicsFunction | System | Dynamics | None
) -> Dynamics:
    """The `Dynamics` for what a user may pass as `dynamics_fn`."""
    if isinstance(dynamics_fn, Dynamics):
        return dynamics_fn
    if dynamics_fn is None:
        return NoDynamics(representation)
    if isinstance(dynamics_fn, System):
        on_cpu = representation.K.device.type == 'cpu'
        return (SystemDynamics if on_cpu else TorchDynamics)(representation, dynamics_fn)
    if not callable(dynamics_fn):
        raise TypeError('dynamics_fn must be a System, a function or None')
    return FunctionDynamics(representation, dynamics_fn)
