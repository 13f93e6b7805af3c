"""Simulation of plans: the trajectory, cost and gradient that a refinement cycle reads."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from trc_core.models.plan_representation import PlanRepresentation, Units
from trc_core.numerics.batch import BatchRollout
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.rollout import Law
from trc_core.problem.system import Array, System

DynamicsFunction = Callable[[Tensor, Tensor], Tensor]


class Iterate(NamedTuple):
    """A batch of plans, and their trajectories, costs and gradients where they are known."""

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
    """Selects, row by row, `first` where mask (B,) is true, else `second`."""
    pick = [
        None if a is None or b is None else torch.where(_over(mask, a), a, b)
        for a, b in zip(first, second, strict=True)
    ]
    return Iterate._make(pick)


def _over(mask: Tensor, a: Tensor) -> Tensor:
    """The mask (B,) with as many axes as a."""
    return mask.view(mask.shape + (1,) * (a.dim() - 1))


def take_rows(iterate: Iterate, rows: Tensor) -> Iterate:
    """Some rows of a batch of plans, by index (N,)."""
    return Iterate._make(None if a is None else a[rows] for a in iterate)


def replace_rows(iterate: Iterate, rows: Tensor, part: Iterate) -> Iterate:
    """`iterate` with the rows of the index `rows` (N,) replaced by those of `part`."""
    merged = [
        None if a is None or b is None else a.index_put((rows,), b)
        for a, b in zip(iterate, part, strict=True)
    ]
    return Iterate._make(merged)


class Dynamics(ABC):
    """Base class of the plants that refinement simulates."""

    def __init__(self, representation: PlanRepresentation) -> None:
        self.representation = representation

    def units(self, error: Tensor, goal: Tensor | None = None) -> Units:
        """The units of problems with the initial errors and goals (B, n_x)."""
        return self.representation.numbers.units(error, goal)

    def parameters(self, count: int) -> Tensor | None:
        """The parameters (count, n_p) of the plant, where they are known."""
        return None

    @abstractmethod
    def simulate(self, v: Tensor, current_state: Tensor, target_state: Tensor) -> Iterate:
        """The trajectories of plans v (B, T, n_u), and their cost where it is known."""

    def starts(self, current_state: Tensor, target_state: Tensor) -> list[Iterate]:
        """Plans that refinement may start from, beside the network's own."""
        return []

    def rows(self, rows: Tensor) -> Dynamics:
        """The dynamics of some rows of a batch, by index (N,)."""
        return self

    def guard(
        self,
        iterate: Iterate,
        proposal: Iterate,
        step: Tensor,
        current_state: Tensor,
        target_state: Tensor,
    ) -> Iterate:
        """The plan that refinement continues with; without a cost it is the proposal."""
        return proposal

    def sweep(self, iterate: Iterate, target_state: Tensor, sweeps: int) -> Iterate:
        """The plan after some box-iLQR sweeps.

        Raises:
            ValueError: if there is no cost to lower.
        """
        raise ValueError('sweeps need dynamics_fn to be a System')


class NoDynamics(Dynamics):
    """No dynamics: controls are the clipped plan."""

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
    """Dynamics of a `System`, whose cost is known, so that no cycle has to raise it.

    Plans that come back are re-projected, so that they reproduce the clipped controls; the
    gradient of a loss passes straight through to the plan that was proposed.

    Args:
        representation: of the plans.
        system: the plant.
    """

    def __init__(self, representation: PlanRepresentation, system: System) -> None:
        super().__init__(representation)
        self.system = system

    def parameters(self, count: int) -> Tensor | None:
        return torch.from_numpy(self.system.p).expand(count, -1)

    @abstractmethod
    def _fly(self, start: int | None, v: Tensor, x0: Tensor, goal: Tensor) -> Iterate:
        """The trajectory of v with the gains K_start[start], or the representation's own."""

    def simulate(self, v: Tensor, current_state: Tensor, target_state: Tensor) -> Iterate:
        found = self._fly(None, v.detach(), current_state.detach(), target_state.detach())
        if not self.representation.has_feedback:
            trim = self.trims(target_state)
            found = found._replace(controls=self.representation.open_loop_controls(v, trim))
        return found._replace(v=found.v + (v - v.detach()))

    def trims(self, goal: Tensor) -> Tensor:
        """The controls (B, 1, n_u), or (n_u,), that hold goals (B, n_x)."""
        if self.system.trim is None:
            return self.representation.u_trim
        return goal.new_tensor(self.system.trims(goal.detach().cpu().numpy())[:, None])

    def starts(self, current_state: Tensor, target_state: Tensor) -> list[Iterate]:
        """The clipped LQR plans of the representation."""
        B, T, n_u = len(current_state), self.system.horizon, self.system.n_u
        zero = self.representation.K_start.new_zeros(B, T, n_u)
        x0, goal = current_state.detach(), target_state.detach()
        count = self.representation.K_start.shape[-4]
        return [self._fly(i, zero, x0, goal) for i in range(count)]

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
        old = take_rows(iterate, rows)
        x0, goal = current_state[rows], target_state[rows]
        quarter = self.rows(rows).simulate(old.v + step[rows] / 4, x0, goal)
        assert quarter.cost is not None and old.cost is not None
        return replace_rows(chosen, rows, choose(quarter.cost < old.cost, quarter, old))


class SystemDynamics(CostedDynamics):
    """Compiled trajectories, costs and exact gradients, on every core of the CPU.

    Tensors of another device are copied to the CPU and back: a plan is a chain of a hundred small
    steps, which a GPU would start one after another.

    PyTorch's compiler and exporter see opaque operators, `trc::fly` and `trc::sweep`, which find
    the plant by name: an exported program runs where a `SystemDynamics` of the plant exists.
    """

    def __init__(self, representation: PlanRepresentation, system: System) -> None:
        super().__init__(representation, system)
        self.name = _register(representation, system)

    def _fly(self, start: int | None, v: Tensor, x0: Tensor, goal: Tensor) -> Iterate:
        run = _fly_operator if torch.compiler.is_compiling() else _fly_compiled
        index = -1 if start is None else start
        found = run(v.double().cpu(), x0.double().cpu(), goal.double().cpu(), index, self.name)
        return Iterate._make(part.to(v.device) for part in found)

    def sweep(self, iterate: Iterate, target_state: Tensor, sweeps: int) -> Iterate:
        assert iterate.states is not None
        run = _sweep_operator if torch.compiler.is_compiling() else _sweep_compiled
        states, controls = iterate.states.detach().cpu(), iterate.controls.detach().cpu()
        goal = target_state.detach().double().cpu()
        found = run(states, controls, goal, sweeps, self.name)
        return Iterate._make(part.to(target_state.device) for part in found)


FIVE_TENSORS = '(Tensor, Tensor, Tensor, Tensor, Tensor)'
Tensors = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
PLANTS: dict[str, tuple[BatchRollout, Array]] = {}


@torch.compiler.assume_constant_result
def _register(representation: PlanRepresentation, system: System) -> str:
    K, G, K_start = representation.gains
    gains = hashlib.sha256(K.tobytes() + G.tobytes() + K_start.tobytes()).hexdigest()
    name = f'{system.name}_{system.fingerprint(gains)}'
    if name not in PLANTS:
        PLANTS[name] = BatchRollout([system], [Law(K, G)]), K_start
    return name


def as_arrays(*tensors: Tensor) -> Iterator[Array]:
    """Contiguous NumPy arrays of float64."""
    return (a.detach().double().contiguous().numpy() for a in tensors)


def _fly_compiled(v: Tensor, x0: Tensor, goal: Tensor, start: int, plant: str) -> Tensors:
    """(v, controls, states, cost, gradient) of plans, as `Iterate` names them."""
    batch, K_start = PLANTS[plant]
    flown = None if start < 0 else K_start[start : start + 1]
    plans, states, goals = as_arrays(v, x0, goal)
    r = constant_reference(goals, batch.system.horizon)
    found = batch.simulate(plans, states, r, flown=flown)
    return tuple(map(torch.from_numpy, found))  # type: ignore[return-value]


def _sweep_compiled(x: Tensor, u: Tensor, goal: Tensor, sweeps: int, plant: str) -> Tensors:
    """(v, controls, states, cost, gradient) of plans after sweeps of box-iLQR."""
    batch, _ = PLANTS[plant]
    states, controls, goals = as_arrays(x, u, goal)
    r = constant_reference(goals, batch.system.horizon)
    found = batch.sweep(states, controls, r, sweeps)
    return tuple(map(torch.from_numpy, found))  # type: ignore[return-value]


_fly_operator = torch.library.custom_op(
    'trc::fly',
    _fly_compiled,
    mutates_args=(),
    schema=f'(Tensor v, Tensor x0, Tensor goal, int start, str plant) -> {FIVE_TENSORS}',
)
_sweep_operator = torch.library.custom_op(
    'trc::sweep',
    _sweep_compiled,
    mutates_args=(),
    schema=f'(Tensor x, Tensor u, Tensor goal, int sweeps, str plant) -> {FIVE_TENSORS}',
)


@_fly_operator.register_fake
def _(v: Tensor, x0: Tensor, goal: Tensor, start: int, plant: str) -> Tensors:
    B, T, _ = v.shape
    states, cost = v.new_empty(B, T + 1, x0.shape[1]), v.new_empty(B)
    return torch.empty_like(v), torch.empty_like(v), states, cost, torch.empty_like(v)


@_sweep_operator.register_fake
def _(x: Tensor, u: Tensor, goal: Tensor, sweeps: int, plant: str) -> Tensors:
    cost = u.new_empty(len(u))
    return torch.empty_like(u), torch.empty_like(u), torch.empty_like(x), cost, torch.empty_like(u)


def as_dynamics(
    representation: PlanRepresentation, dynamics_fn: DynamicsFunction | System | Dynamics | None
) -> Dynamics:
    """The `Dynamics` for what a user may pass as `dynamics_fn`."""
    if isinstance(dynamics_fn, Dynamics):
        return dynamics_fn
    if dynamics_fn is None:
        return NoDynamics(representation)
    if isinstance(dynamics_fn, System):
        return SystemDynamics(representation, dynamics_fn)
    if not callable(dynamics_fn):
        raise TypeError('dynamics_fn must be a System, a function or None')
    return FunctionDynamics(representation, dynamics_fn)
