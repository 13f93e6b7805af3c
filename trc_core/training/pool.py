"""Pool of plans under refinement: most rows solve one problem, some run in closed loop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trc_core.models.search import Latents
from trc_core.models.simulation import Iterate, replace_rows, take_rows
from trc_core.models.tiny_recursive_control import TinyRecursiveControl
from trc_core.numerics.batch import BatchStep
from trc_core.problem.system import Array, System
from trc_core.systems.draws import drawn_states
from trc_core.training.plants import FamilyDynamics, PlantFamily

TICKS = 30  # mean life of a closed loop
SPREAD = 0.1  # largest relative error of parameters and input gain, on half of the closed loops
DISTURBANCE = (
    0.03  # state disturbance per tick on the same rows (sigma), in half widths of the box
)
LOST = 4.0  # a closed loop whose error exceeds this many typical sizes starts anew
SAMPLE = 256  # states from which the typical size is estimated


@dataclass(frozen=True)
class PoolConfig:
    """Settings of the pool."""

    size: int = 64
    shares: int = 3
    """One row in this many gets a new problem at every step."""
    receding_share: float = 0.0
    """Share of the rows in closed loop: after every step one tick, and the plan is shifted."""
    box: float = 1.0
    """Initial states come from a box this many times as wide as the system's."""


class Pool:
    """B plans under refinement with their problems.

    Args:
        plants: the family from which the plants of the rows are drawn.
        config: sizes and shares.
        seed: of all draws.
        drawn: the system whose problems are drawn, with its constraints; that of the plants by
            default.
    """

    def __init__(
        self, plants: PlantFamily, config: PoolConfig, seed: int, drawn: System | None = None
    ) -> None:
        self.plants, self.config = plants, config
        self.drawn = plants.system if drawn is None else drawn
        self.rng = np.random.default_rng(seed)
        B, n_x = config.size, plants.system.n_x
        self.x0 = torch.zeros(B, n_x, dtype=torch.float64)
        self.goal = torch.zeros_like(self.x0)
        self.plant = torch.zeros(B, dtype=torch.int64)
        self.receding = torch.arange(B) >= round(B * (1 - config.receding_share))
        self.lost = torch.zeros(B, dtype=torch.bool)
        self.disturbed = np.zeros(B, dtype=np.bool_)
        self.true_p = np.zeros((B, plants.flights.p.shape[1]))
        self.true_gain = np.ones(B)
        self.typical = _typical_size(plants)
        self.iterate: Iterate | None = None
        self.latents: Latents = ()
        self.steps = 0

    def renew(self) -> Tensor:
        """Draws new problems for the rows that are due; returns their index (N,)."""
        rows = torch.nonzero(self._due()).flatten()
        self.steps += 1
        x0, goal = drawn_states(self.drawn, self.rng, len(rows), learning=True)
        self.x0[rows] = torch.from_numpy(self.config.box * x0)
        self.goal[rows] = torch.from_numpy(goal)
        self.plant[rows] = torch.from_numpy(self.rng.integers(len(self.plants), size=len(rows)))
        if self.receding.any():
            self._draw_true_plants(rows.numpy())
        return rows

    def _due(self) -> Tensor:
        """Mask (B,) of the rows that begin a new problem now."""
        B, shares = self.config.size, self.config.shares
        if self.iterate is None:
            return torch.ones(B, dtype=torch.bool)
        due = (torch.arange(B) % shares == self.steps % shares) & ~self.receding
        if not self.receding.any():
            return due
        ended = torch.from_numpy(self.rng.random(B) < 1 / TICKS)
        return due | self.lost | (self.receding & ended)

    def _draw_true_plants(self, rows: Array) -> None:
        """Draws the true plants of closed loops; half of them differ from the model."""
        rng, p = self.rng, self.plants.flights.p[self.plant[rows].numpy()]
        self.disturbed[rows] = rng.random(len(rows)) < 0.5
        spread = SPREAD * self.disturbed[rows]
        self.true_p[rows] = p * (1 + spread[:, None] * rng.uniform(-1, 1, p.shape))
        self.true_gain[rows] = 1 + spread * rng.uniform(-1, 1, len(rows))

    def start(self, rows: Tensor, iterate: Iterate, latents: Latents) -> tuple[Iterate, Latents]:
        """The plans and latents of all rows, with those of the new rows put in."""
        if self.iterate is None:
            return iterate, latents
        merged = tuple(
            old.index_put((rows,), new) for old, new in zip(self.latents, latents, strict=True)
        )
        return replace_rows(self.iterate, rows, iterate), merged

    def store(self, iterate: Iterate, latents: Latents) -> None:
        """Keeps the refined plans for the next step, without their history."""
        self.iterate = Iterate._make(None if a is None else a.detach() for a in iterate)
        self.latents = tuple(z.detach() for z in latents)

    def tick(self, model: TinyRecursiveControl, dynamics: FamilyDynamics) -> None:
        """Steps the closed loops by one control: plans are shifted, latents start anew."""
        rows = torch.nonzero(self.receding).flatten()
        if not len(rows):
            return
        assert self.iterate is not None
        mine, goal = dynamics.rows(rows), self.goal[rows]
        iterate = take_rows(self.iterate, rows)
        v, x = mine.shifted(iterate, goal), self._stepped(rows.numpy(), iterate.controls.numpy())
        size = mine.representation.numbers.units(x - goal, goal).s  # NaN where a plant blew up
        self.lost[:] = False
        self.lost[rows] = ~(size < LOST * self.typical)
        self.x0[rows] = x
        self.x0[self.lost] = self.goal[self.lost]  # finite until they are renewed
        self.iterate = replace_rows(self.iterate, rows, mine.simulate(v, self.x0[rows], goal))
        with torch.no_grad():
            problem = model.problem(self.x0[rows], goal, dynamics=mine)
            fresh = model.initial_latents(problem)
        pairs = zip(self.latents, fresh, strict=True)
        self.latents = tuple(old.index_put((rows,), new) for old, new in pairs)

    def _stepped(self, rows: Array, controls: Array) -> Tensor:
        """The next states (N, n_x) of the true plants under the first of controls (N, T, n_u)."""
        system = self.plants.system
        u = self.true_gain[rows, None] * controls[:, 0]
        x = BatchStep(system)(self.x0[rows].numpy(), u, self.true_p[rows])
        sigma = DISTURBANCE * self.disturbed[rows, None] * system.x0_box
        return torch.from_numpy(x + sigma * self.rng.standard_normal(x.shape))


def _typical_size(plants: PlantFamily) -> float:
    """Root mean square of s over the training box."""
    x0, goal = plants.system.sample(np.random.default_rng(0), SAMPLE)
    units = plants.representation.numbers.units(*map(torch.from_numpy, (x0 - goal, goal)))
    return float(units.s.square().mean().sqrt())
