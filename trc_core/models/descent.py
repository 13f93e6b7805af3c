"""The network of a powered descent in PyTorch: what it reads of problems and of its plans.

It is a `TinyRecursiveControl` whose plan is the 40 numbers of `numerics/descent.py`, o (B, 40, 1).
All that it reads is filled by the kernels that fly; gradients come from the same kernels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from trc_core.compile.kernels import compiled
from trc_core.models.simulation import Dynamics, Iterate
from trc_core.numerics.descent import (
    BARRIER,
    DIRECTION,
    LEARNED,
    MOST,
    NUMBERS,
    READ,
    STEEP,
    TIME,
    Descent,
    batch_read,
)
from trc_core.numerics.descent_lagrangian import Weights, batch_lagrangian, batch_see
from trc_core.numerics.free_time.binding import timed_plant
from trc_core.numerics.free_time.timed import new_flight
from trc_core.numerics.representation import DESCENT, Coordinates
from trc_core.problem.system import Array, System

PLACE, SPEED, PUSH = 2e-5, 1e-2, 1e-4  # penalties of the Lagrangian: of r_T, v_T and violations


class DescentUnits(NamedTuple):
    """The conversions that a network asks of the units of B problems: nearly all are done."""

    features: Tensor
    """(B, READ), float64, what is read of the problems."""

    def problem(
        self,
        error: Tensor,
        time_remaining: Tensor,
        goal: Tensor | None = None,
        parameters: Tensor | None = None,
    ) -> Tensor:
        """What the state encoder reads."""
        return self.features

    def plan(self, v: Tensor) -> Tensor:
        """The numbers (B, NUMBERS, 1), which are dimensionless."""
        return v

    metric = controls = states = gradient = plan  # type: ignore[misc]

    def step(self, output: Tensor) -> Tensor:
        """The change of the numbers for what a network writes (`numerics.descent.bounded`)."""
        return MOST * torch.tanh(output / MOST)

    def rows(self, rows: Tensor) -> DescentUnits:
        """The units of some of the problems, by index (N,)."""
        return DescentUnits(self.features[rows])


class DescentRepresentation(nn.Module):
    """The learned numbers of the coordinates, saved with the weights.

    Args:
        descent: the numbers.
    """

    centre: Tensor
    spread: Tensor
    middle: Tensor
    width: Tensor
    member_dim = 0
    needs_parameters = False
    problem_dim = READ
    has_feedback = False
    coordinates = Coordinates(DESCENT, ())

    def __init__(self, descent: Descent) -> None:
        super().__init__()
        for name in LEARNED:
            self.register_buffer(name, torch.from_numpy(getattr(descent, name).copy()))

    def learn(self, descent: Descent) -> None:
        """Takes other numbers."""
        for name in LEARNED:
            getattr(self, name).copy_(torch.from_numpy(getattr(descent, name)))

    def descent(self, system: System) -> Descent:
        """The coordinates as kernels take them."""
        tensors = {f'representation.{name}': getattr(self, name).numpy() for name in LEARNED}
        return Descent.of(system, tensors)


class DescentDynamics(Dynamics):
    """A descent as a network sees it, by the compiled kernels.

    Args:
        representation: the coordinates of plans.
        system: the plant.
    """

    def __init__(self, representation: Any, system: System) -> None:
        super().__init__(representation)
        self.system, self.descent = system, representation.descent(system)
        self.plant = timed_plant(system)
        sizes = len(system.task.constraints), len(system.terminal)
        self.room = new_flight(system.horizon, system.n_x, system.n_u, *sizes)
        """Room for a plan."""
        self._read, self._see = compiled(batch_read), compiled(batch_see)
        self._lagrangian = compiled(batch_lagrangian)

    def units(self, error: Tensor, goal: Tensor | None = None) -> DescentUnits:  # type: ignore[override]
        """What is read of states (B, 7), inside their frames or not."""
        states = _rows(error)
        inside, features = np.empty_like(states), np.empty((len(states), READ))
        self._read(self.descent, states, inside, features)
        return DescentUnits(torch.from_numpy(features))

    def simulate(self, v: Tensor, current_state: Tensor, target_state: Tensor) -> Iterate:
        """What is seen of plans from states inside their frames.

        Margins stand in the place of controls, errors at the end in that of states.
        """
        o, states = _rows(v[..., 0]), _rows(current_state)
        margins, slope = np.empty(o.shape), np.empty(o.shape)
        terminal = np.empty(states.shape)
        self._see(self.plant, self.descent, states, o, self.room, margins, terminal, slope)
        controls, ends, gradient = map(torch.from_numpy, (margins, terminal, slope))
        ends = ends[:, None] + target_state[:, None]
        return Iterate(v, controls[..., None], ends, None, gradient[..., None])

    def lagrangian(self, o: Tensor, x0: Tensor, prices: Tensor, forces: Tensor) -> Tensor:
        """The Lagrangian (B,) of numbers o (B, NUMBERS) with prices (B, 6) and forces."""
        found: Tensor = _Lagrangian.apply(o, self, x0, prices, forces)
        return found

    def barrier(self, o: Tensor) -> Tensor:
        """What the barrier of central plans adds to the cost (B,) of numbers o (B, NUMBERS)."""
        descent, place = self.descent, slice(3 * DIRECTION, TIME)
        centre, spread = (torch.from_numpy(a[place]).to(o) for a in descent[:2])
        S = (centre + spread * o[:, place]) @ torch.from_numpy(descent.basis).to(o).T
        logs = logsigmoid(STEEP * S) + logsigmoid(-STEEP * S)
        return -BARRIER * self.plant.cost_unit * logs.sum(1)

    def valued(self, o: Tensor, x0: Tensor, prices: Tensor, forces: Tensor) -> tuple[Array, Array]:
        """The Lagrangian (B,) and its slope (B, NUMBERS)."""
        value, slope = np.empty(len(o)), np.empty((len(o), NUMBERS))
        ends = np.empty((len(o), self.system.n_x))
        weights = Weights(_rows(prices), _rows(forces), PLACE, SPEED, PUSH)
        rows = _rows(x0), _rows(o)
        self._lagrangian(self.plant, self.descent, weights, *rows, self.room, value, slope, ends)
        return value, slope


class _Lagrangian(torch.autograd.Function):
    """The compiled Lagrangian, with its exact slope."""

    @staticmethod
    def forward(ctx: Any, o: Tensor, dynamics: DescentDynamics, *given: Tensor) -> Tensor:
        value, slope = dynamics.valued(o, *given)
        ctx.save_for_backward(torch.from_numpy(slope).to(o.dtype))
        return torch.from_numpy(value)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> Any:
        (slope,) = ctx.saved_tensors
        return grad[0][:, None].to(slope.dtype) * slope, None, None, None, None


def _rows(tensor: Tensor) -> Array:
    """A contiguous array of float64."""
    return np.ascontiguousarray(tensor.detach().double().numpy())
