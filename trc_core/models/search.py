"""Beam search: several plans are refined side by side, and the best are kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trc_core.models.simulation import Dynamics, Iterate, take_rows

if TYPE_CHECKING:
    from trc_core.models.tiny_recursive_control import Problem

Latents = tuple[Tensor, ...]


@dataclass(frozen=True)
class Search:
    """N plans for each of B problems; row b N + n is plan n of problem b, the best come first."""

    problem: Problem
    dynamics: Dynamics
    iterate: Iterate
    latents: Latents
    width: int
    """N."""

    @classmethod
    def of(
        cls, problem: Problem, dynamics: Dynamics, candidates: list[Iterate], latents: Latents
    ) -> Search:
        """The search over all candidates, which share the latents of their problem.

        Raises:
            ValueError: if there are several and no cost to tell which is the best.
        """
        N = len(candidates)
        if N == 1:
            return cls(problem, dynamics, candidates[0], latents, 1)
        if candidates[0].cost is None:
            raise ValueError('several plans side by side need dynamics_fn to be a System')
        stacked = Iterate._make(
            torch.stack(parts, 1).flatten(0, 1) for parts in zip(*candidates, strict=True)
        )
        rows = torch.arange(len(latents[0]), device=latents[0].device).repeat_interleave(N)
        wide = cls(problem.rows(rows), dynamics.rows(rows), stacked, (), N)
        return replace(wide, latents=tuple(z[rows] for z in latents))

    def keep(self, width: int) -> Search:
        """The best `width` plans of each problem, in the order of their cost."""
        if width >= self.width:
            return self
        rows = self._best_rows(width)
        return Search(
            self.problem.rows(rows),
            self.dynamics.rows(rows),
            take_rows(self.iterate, rows),
            tuple(z[rows] for z in self.latents),
            width,
        )

    def after(self, iterate: Iterate, latents: Latents) -> Search:
        """This search with its plans refined."""
        return replace(self, iterate=iterate, latents=latents)

    @property
    def best(self) -> tuple[Iterate, Latents]:
        """The best plan of each problem (B rows), and its latents."""
        if self.width == 1:
            return self.iterate, self.latents
        rows = self._best_rows(1)
        return take_rows(self.iterate, rows), tuple(z[rows] for z in self.latents)

    def _best_rows(self, count: int) -> Tensor:
        """Rows of the `count` best plans of each problem; the earlier where two are equal."""
        assert self.iterate.cost is not None
        cost = self.iterate.cost.detach().view(-1, self.width)
        order = torch.nan_to_num(cost, nan=torch.inf, posinf=torch.inf).argsort(dim=1, stable=True)
        first = torch.arange(len(cost), device=cost.device)[:, None] * self.width
        return (first + order[:, :count]).flatten()
