"""J of feedback plans, differentiable in PyTorch: compiled (CPU), or eager (any device)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trc_core.batch_rollout import BatchRollout
from trc_core.cost import trajectory_cost
from trc_core.systems.base import System
from trc_core.systems.codegen import torch_step


class RolloutCost(torch.autograd.Function):
    """`RolloutCost.apply(v, x0, goal, batch)` -> J (B,), with the exact gradient in v.

    v is (B, T, n_u), x0 and goal are (B, n_x), all on the CPU; batch is a `BatchRollout`. The
    gradient comes from the adjoint method, compiled: no graph over the horizon is kept.
    """

    @staticmethod
    def forward(ctx: Any, v: Tensor, x0: Tensor, goal: Tensor, batch: BatchRollout) -> Tensor:
        """J of every plan."""
        plan, start, end = (a.detach().double().contiguous().numpy() for a in (v, x0, goal))
        x, u, J = batch.rollout(plan, start, end)
        ctx.trajectory = batch, plan, x, u, end
        return torch.from_numpy(J).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None, None]:
        """The upstream gradient times dJ/dv."""
        batch, plan, x, u, goal = ctx.trajectory
        slope = torch.from_numpy(batch.gradient(plan, x, u, goal))
        return slope.to(upstream[0].dtype) * upstream[0][:, None, None], None, None, None


def eager_rollout_cost(system: System, K: Tensor, v: Tensor, x0: Tensor, goal: Tensor) -> Tensor:
    """J (B,) of plans v (B, T, n_u) in plain PyTorch operations, on the device of v.

    Args:
        system: the plant.
        K: feedback gains (T, n_u, n_x).
        v: feedback plans (B, T, n_u).
        x0: initial states (B, n_x).
        goal: goal states (B, n_x).
    """
    step = torch_step(system)
    u_trim, u_min, u_max = (v.new_tensor(a) for a in (system.u_trim, system.u_min, system.u_max))
    x, states, controls = x0, [x0], []
    for t in range(v.shape[1]):
        raw = u_trim + v[:, t] - (x - goal) @ K[t].T
        u = torch.clamp(raw, u_min, u_max)
        x = step(x, u)
        states.append(x)
        controls.append(u)
    return trajectory_cost(system, torch.stack(states, 1), torch.stack(controls, 1), goal)
