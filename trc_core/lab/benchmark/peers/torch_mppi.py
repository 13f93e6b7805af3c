"""pytorch-mppi on PyPI: sampling in PyTorch, with our step and costs as tensors.

Source: Williams et al., Information theoretic MPC for model-based reinforcement learning (ICRA
2017), algorithm 2.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from trc_core.lab.benchmark.peers.peer import Peer, timed
from trc_core.numerics.cost import difference, stage_cost, terminal_cost
from trc_core.problem.system import Array, System
from trc_core.solvers.problem import Problem

SAMPLES = 512
SPREAD, TEMPERATURE = 0.01, 1e-4  # of the ranges of controls, and of the cost of the start: the
# best of a dozen that were tried, because the noise of this package is not smooth


class TorchMppi(Peer):
    """One iteration of pytorch-mppi on one thread.

    Args:
        system: of its problems; without constraints and residuals.

    Raises:
        ModuleNotFoundError: if it is not installed.
        ValueError: if the system has constraints or residuals.
    """

    def __init__(self, system: System) -> None:
        import torch

        from trc_core.compile.torch_reader import TORCH, torch_step

        super().__init__(system)
        if not system.task.is_plain:
            raise ValueError('our constraints are no tensors here')
        self._torch, self._algebra = torch, TORCH
        self._goal: Any = torch.zeros(system.n_x, dtype=torch.float64)
        span = torch.as_tensor(SPREAD * (system.u_max - system.u_min))
        self._mppi = import_module('pytorch_mppi').MPPI(
            torch_step(system),
            self._stage,
            system.n_x,
            torch.diag(span**2),
            SAMPLES,
            system.horizon,
            terminal_state_cost=self._end,
            u_min=torch.as_tensor(system.u_min),
            u_max=torch.as_tensor(system.u_max),
        )

    def _stage(self, x: Any, u: Any) -> Any:
        """The cost of a step; it is asked at the state behind it."""
        return stage_cost(self.system, self._error(x), u)

    def _end(self, states: Any, _: Any) -> Any:
        """The terminal cost, less that of a stage, which has been counted."""
        error = self._error(states[..., -1, :])
        rest = stage_cost(self.system, error, self._torch.as_tensor(self.system.u_trim))
        return terminal_cost(self.system, error) - rest

    def _error(self, x: Any) -> Any:
        return difference(self.system, x, self._goal, self._algebra)

    def solve(self, problem: Problem, x: Array, u: Array, warm: bool) -> tuple[Array, float]:
        """The weighted mean of the samples."""
        torch, mppi = self._torch, self._mppi
        self._goal = torch.as_tensor(problem.goal)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        torch.manual_seed(0)
        mppi.lambda_ = TEMPERATURE * max(problem.replay(u)[1], 1e-9)
        mppi.U = torch.as_tensor(u.copy())
        with torch.no_grad():
            _, seconds = timed(
                lambda: mppi.command(torch.as_tensor(problem.x0), shift_nominal_trajectory=False)
            )
        torch.set_num_threads(threads)
        return np.array(mppi.U), seconds
