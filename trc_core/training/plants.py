"""Families of plants that a network is trained for: one, or a grid over parameter ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trc_core.models.plan_representation import Numbers, PlanRepresentation, Units
from trc_core.models.simulation import CostedDynamics, Iterate, as_arrays
from trc_core.numerics.batch import BatchRollout
from trc_core.numerics.cost import constant_reference, difference
from trc_core.numerics.representation import Coordinates
from trc_core.numerics.riccati import finite_horizon_gains, linearise
from trc_core.problem.system import Array, System
from trc_core.problem.weighting import drawn, is_entry, with_values

MEMBERS = 512  # of a family whose weights are drawn
GRID_POINTS = 21  # per range; between them the numbers of a plan change little
DEPENDENT = ('L', 'L_inverse', 'W', 'C', 'D', 'S', 'floor', 'inputs')  # on parameters, weights
SINGULAR = 1e-10  # a singular value this small, relative to the largest, counts as zero
UNSTABLE = 1.0 + 1e-6  # modes on the unit circle do not grow: the LQR lives with them


def parameter_grid(
    ranges: Mapping[str, tuple[float, float]], points: int = GRID_POINTS
) -> list[dict[str, float]]:
    """Every combination of `points` values per range; without ranges, the one empty choice."""
    axes = [np.linspace(low, high, points).tolist() for low, high in ranges.values()]
    return [dict(zip(ranges, values, strict=True)) for values in product(*axes)]


def random_parameters(
    ranges: Mapping[str, tuple[float, float]], count: int, rng: np.random.Generator
) -> list[dict[str, float]]:
    """`count` draws from the ranges; without ranges, the one empty choice."""
    if not ranges:
        return [{}]
    return [
        {name: drawn(name, limits, rng) for name, limits in ranges.items()} for _ in range(count)
    ]


def family_of(ranges: Mapping[str, tuple[float, float]], seed: int) -> list[dict[str, float]]:
    """The plants to train on: a grid over one range, as many draws as `MEMBERS` from more.

    A grid over the many entries of weights would have too many points.
    """
    if any(map(is_entry, ranges)):
        return random_parameters(ranges, MEMBERS, np.random.default_rng(seed))
    return parameter_grid(ranges)


class PlantFamily:
    """N plants that differ in parameters and weights, with the representations of their plans.

    Args:
        system: the plant at its nominal parameters.
        representation: of its plans.
        parameters: what differs from nominal, for each of the N plants.

    Raises:
        ValueError: if there are several plants and their plans are gated: the gates differ.
    """

    def __init__(
        self,
        system: System,
        representation: PlanRepresentation,
        parameters: Sequence[Mapping[str, float]] = ({},),
    ) -> None:
        coordinates = representation.coordinates or Coordinates('open_loop')
        if len(parameters) > 1 and coordinates.kind == 'gated':
            raise ValueError("ranges go with the representations 'stabilised' and 'open_loop'")
        self.system, self.representation = system, representation
        self.systems = [with_values(system, values) for values in parameters]
        numbers = [coordinates.numbers(plant) for plant in self.systems]
        self.flights = BatchRollout(self.systems, [n.law for n in numbers])
        self.K_start = np.stack([n.K_start for n in numbers], axis=1)  # (S, N, T, n_u, n_x)
        self.numbers = {
            name: torch.tensor(np.stack([getattr(n, name) for n in numbers])) for name in DEPENDENT
        }
        if all(np.array_equal(n.W, numbers[0].W) for n in numbers):
            del self.numbers['W']  # where weights are the same, one metric of states serves all

    def __len__(self) -> int:
        return len(self.systems)

    def dynamics(self, index: Tensor) -> FamilyDynamics:
        """The dynamics of rows that belong to the plants of an index (B,)."""
        return FamilyDynamics(self, index)

    def numbers_of(self, index: Tensor) -> Numbers:
        """The representation of those rows."""
        rows = index if len(self) > 1 else 0  # one set for every row spares the axis B
        numbers: dict[str, Any] = {name: value[rows] for name, value in self.numbers.items()}
        return self.representation.numbers._replace(**numbers)


class FamilyDynamics(CostedDynamics):
    """Compiled trajectories, costs and exact gradients of rows that have a plant each.

    Args:
        plants: N of them.
        index: the plant of each row of a batch (B,).
    """

    def __init__(self, plants: PlantFamily, index: Tensor) -> None:
        super().__init__(plants.representation, plants.system)
        self.plants, self.index = plants, index

    def units(self, error: Tensor, goal: Tensor | None = None) -> Units:
        return self.plants.numbers_of(self.index).units(error, goal)

    def parameters(self, count: int) -> Tensor | None:
        return torch.from_numpy(self.plants.flights.p)[self.index]

    def rows(self, rows: Tensor) -> FamilyDynamics:
        return FamilyDynamics(self.plants, self.index[rows])

    def _fly(self, start: int | None, v: Tensor, x0: Tensor, goal: Tensor) -> Iterate:
        flown = None if start is None else self.plants.K_start[start]
        plans, states, goals = as_arrays(v, x0, goal)
        plant = self.index.numpy()
        r = constant_reference(goals, self.system.horizon)
        found = self.plants.flights.simulate(plans, states, r, plant=plant, flown=flown)
        return Iterate._make(map(torch.from_numpy, found))

    def sweep(self, iterate: Iterate, target_state: Tensor, sweeps: int) -> Iterate:
        assert iterate.states is not None
        states, controls, goals = as_arrays(iterate.states, iterate.controls, target_state)
        plant = self.index.numpy()
        r = constant_reference(goals, self.system.horizon)
        found = self.plants.flights.sweep(states, controls, r, sweeps, plant=plant)
        return Iterate._make(map(torch.from_numpy, found))

    def shifted(self, iterate: Iterate, goal: Tensor) -> Tensor:
        """The plans (B, T, n_u) one step later, with their feedback; the LQR ends them."""
        assert iterate.states is not None
        flights = self.plants.flights
        states, controls, goals = as_arrays(iterate.states, iterate.controls, goal)
        error = difference(self.system, states[:, 1:-1], goals[:, None])  # (B, T - 1, n_x)
        weight = 1 / (1 + np.einsum('bti,ij,btj->bt', error, flights.G, error) ** 2)
        K = flights.K[self.index.numpy(), :-1]
        v = np.zeros_like(controls)
        feedback = np.einsum('btij,btj->bti', K, error)
        v[:, :-1] = controls[:, 1:] - self.trims(goal).numpy() + weight[..., None] * feedback
        return torch.from_numpy(v)


def why_not_stabilised(system: System) -> str | None:
    """The reason why plans around the LQR make no sense for a plant; None where they do.

    The LQR's metric is useless where its gains are not finite, or where a mode grows that no
    control reaches. Source: the Popov-Belevitch-Hautus test, rank [lambda I - A, B] < n_x.
    """
    A, B = linearise(system, system.goal_centre)
    if not (np.isfinite(A).all() and np.isfinite(B).all()):
        return 'its linearisation about the goal is not finite'
    if not np.isfinite(_gains(system)).all():
        return 'the gains of its LQR are not finite'
    for growth in np.linalg.eigvals(A):
        pencil = np.hstack([growth * np.eye(system.n_x) - A, B])
        sizes = np.linalg.svd(pencil, compute_uv=False)
        if abs(growth) > UNSTABLE and sizes[-1] <= SINGULAR * sizes[0]:
            return f'no control reaches its mode that grows by {abs(growth):.3g} per step'
    return None


def _gains(system: System) -> Array:
    try:
        return finite_horizon_gains(system)[0]
    except np.linalg.LinAlgError:
        return np.full(1, np.nan)
