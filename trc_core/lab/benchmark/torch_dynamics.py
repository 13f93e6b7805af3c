"""Simulation of plans in plain PyTorch, which the compiled one is compared with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trc_core.compile.torch_reader import TORCH, torch_step
from trc_core.models.plan_representation import PlanRepresentation
from trc_core.models.simulation import CostedDynamics, Iterate
from trc_core.numerics.cost import difference, trajectory_cost
from trc_core.numerics.rollout import BOUND_TOLERANCE
from trc_core.problem.system import System


class TorchDynamics(CostedDynamics):
    """Trajectories, costs and gradients in plain PyTorch operations, by autograd."""

    def __init__(self, representation: PlanRepresentation, system: System) -> None:
        super().__init__(representation, system)
        self.step, self._algebra = torch_step(system), TORCH

    def _fly(self, start: int | None, v: Tensor, x0: Tensor, goal: Tensor) -> Iterate:
        numbers, x0, goal = self.representation, x0.double(), goal.double()
        K, G = numbers.K, numbers.G
        if start is None:
            states, controls, cost = self._rollout(K, G, v.double(), x0, goal)
        else:
            K_start, no_gate = numbers.K_start[start], torch.zeros_like(G)
            states, controls, cost = self._rollout(K_start, no_gate, v.double(), x0, goal)
        feedback = [_feedback(K[t], G, self._error(states[:, t], goal)) for t in range(v.shape[1])]
        v = controls - self.trims(goal) + torch.stack(feedback, 1)
        with torch.enable_grad():
            v.requires_grad_()
            J = self._rollout(K, G, v, x0, goal)[2]
            (gradient,) = torch.autograd.grad(J.sum(), v)
        return Iterate(v.detach(), controls, states, cost, gradient)

    def _rollout(
        self, K: Tensor, G: Tensor, v: Tensor, x0: Tensor, goal: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """States (B, T + 1, n_x), controls (B, T, n_u), J (B,), differentiable in v."""
        limits, trimmed = self.representation, self.trims(goal) + v
        x, states, controls = x0, [x0], []
        for t in range(v.shape[1]):
            raw = trimmed[:, t] - _feedback(K[t], G, self._error(x, goal))
            u = ProjectedClip.apply(raw, limits.u_min, limits.u_max)
            x = self.step(x, u)
            states.append(x)
            controls.append(u)
        x, u = torch.stack(states, 1), torch.stack(controls, 1)
        return x, u, trajectory_cost(self.system, x, u, goal[:, None], self._algebra)

    def _error(self, x: Tensor, goal: Tensor) -> Tensor:
        """The wrapped difference (B, n_x)."""
        error: Tensor = difference(self.system, x, goal, self._algebra)
        return error


def _feedback(K_t: Tensor, G: Tensor, error: Tensor) -> Tensor:
    """W K_t e (B, n_u), w = 1 / (1 + (e' G e)^2)."""
    weight = 1 / (1 + ((error @ G) * error).sum(-1, keepdim=True).square())
    return weight * (error @ K_t.mT)


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
