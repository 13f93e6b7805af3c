"""The backend 'torch': the PyTorch model itself, on a CPU or a GPU. Imported only when asked for.

It plans what the compiled kernels plan, by the same rules, for whole batches at once: all rows
spend the same number of cycles, until none of them has anything left to gain.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from trc_core.checkpoint import Checkpoint
from trc_core.models.persistence import model_of
from trc_core.models.search import Search
from trc_core.models.simulation import Iterate, as_dynamics
from trc_core.planner.backend import Backend
from trc_core.planner.clock import now
from trc_core.planner.problems import Problems
from trc_core.planner.rows import Budget, Found


class TorchBackend(Backend):
    """Trajectories are compiled on a CPU, and PyTorch operations elsewhere."""

    devices = ('cpu', 'cuda')

    def __init__(self, checkpoint: Checkpoint, device: str, num_threads: int | None) -> None:
        super().__init__(checkpoint, device, num_threads)
        if device != 'cpu' and not torch.cuda.is_available():
            raise ValueError(f"device '{device}' is not available: PyTorch finds no GPU")
        if num_threads is not None:
            torch.set_num_threads(num_threads)  # PyTorch has one pool for the whole process
        self.device = torch.device(device)
        self.model = model_of(checkpoint).to(self.device)
        self.dynamics = as_dynamics(self.model.representation, self.system)

    @torch.no_grad()
    def plan(self, problems: Problems, budget: Budget) -> Found:
        found = self.empty(problems)
        search, starts = self._start(problems)
        found.starts[:] = starts.cpu().numpy()
        found.start[:] = found.starts.argmin(1)
        seconds, cycles, gain = budget.seconds, 0, torch.full((len(starts),), math.inf)
        while cycles < budget.cycles:
            began = now()
            if began + seconds > budget.deadline:
                break
            width = self.model.config.beam_width(cycles)
            search = search.keep(1 if cycles == 0 and self._is_trusted(problems, found) else width)
            before = search.best[0]
            if self._is_done(before, gain, budget.tolerance):
                break
            search = self.model.advance(search)
            cycles += 1
            gain = _cost(before) - _cost(search.best[0])
            seconds = max(seconds, now() - began)
        best = search.best[0]
        assert best.states is not None
        found.x[:], found.u[:] = best.states.cpu().numpy(), best.controls.cpu().numpy()
        found.J[:] = _cost(best).numpy()
        found.cycles[:], found.seconds[:] = cycles, seconds
        return found

    def _start(self, problems: Problems) -> tuple[Search, Tensor]:
        """The candidates of every problem, and their costs (B, N)."""
        constant = problems.r[:, 0].copy()  # PyTorch's model plans to goals that stand still
        x0, goal = (torch.from_numpy(a).to(self.device) for a in (problems.x0, constant))
        model, dynamics = self.model, self.dynamics
        problem = model.problem(x0, goal, None, dynamics)
        latents = model.initial_latents(problem)
        candidates = model.candidates(problem, latents, dynamics)
        if problems.previous is not None:
            previous = torch.from_numpy(problems.previous).to(self.device)
            candidates.append(dynamics.simulate(previous, x0, goal))
        costs = torch.stack([_cost(candidate) for candidate in candidates], 1)
        return Search.of(problem, dynamics, candidates, latents), costs

    def _is_trusted(self, problems: Problems, found: Found) -> bool:
        """Whether the previous plan is what to go on with, in every row."""
        if problems.trusted is None or problems.previous is None:
            return False
        last = found.starts.shape[1] - 1
        return bool(np.all(problems.trusted & (found.start == last)))

    def _is_done(self, best: Iterate, gain: Tensor, tolerance: float) -> bool:
        """Whether another cycle would gain too little, judged as the kernels do."""
        expected = gain
        if 'gradient' in self.model.config.feedback:
            assert best.gradient is not None
            metric = self.model.representation.L_inverse
            newton = torch.einsum('tij,btj->bti', metric, best.gradient)
            expected = torch.minimum(gain, newton.square().sum((1, 2)).cpu() / 4)
        return bool((expected < tolerance * _cost(best)).all())


def _cost(iterate: Iterate) -> Tensor:
    """J (B,), infinite where it is not a number."""
    assert iterate.cost is not None
    return torch.nan_to_num(iterate.cost, nan=math.inf, posinf=math.inf).cpu()
