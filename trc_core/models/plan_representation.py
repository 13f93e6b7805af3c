"""How a network sees and changes a plan: feedback coordinates and a dimensionless metric.

A plan is v in u_t = clip(u_trim + v_t - K_t (x_t - goal)). With K = 0 it is the open-loop control
sequence; with the gains of the finite-horizon LQR, v = 0 is the clipped LQR plan and the network
only learns what LQR misses. Everything the network reads or writes is dimensionless: s is the
square root of the LQ cost-to-go of the initial error, H_t = R + B' P_{t+1} B = L_t L_t'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from trc_core.models.config import TRCConfig
from trc_core.solvers.lqr import finite_horizon_gains
from trc_core.systems.base import Array, System

STORED = ('K', 'K_start', 'L', 'W', 'C', 'floor', 'scale', 'u_min', 'u_max', 'u_trim')
SCALE_FLOOR = 1e-4  # smallest s^2, relative to its mean over the training box


class PlanRepresentation(nn.Module):
    """The numbers of one representation, kept in float64 and saved with the weights.

    Args:
        K: feedback gains of the plan (T, n_u, n_x).
        K_start: gains (S, T, n_u, n_x) of the clipped LQR plans that refinement may start from;
            the first are the system's own.
        L: lower-triangular metric of v (T, n_u, n_u).
        W: state error metric (n_x, n_x), for what the network reads.
        C: initial error metric (n_x, n_x); s^2 = |C e0|^2 + floor.
        floor: smallest s^2.
        scale: typical s, in which the network reads the size of the initial error.
        u_min: lower bounds (n_u,).
        u_max: upper bounds (n_u,).
        u_trim: control at rest (n_u,).
    """

    K: Tensor
    K_start: Tensor
    L: Tensor
    L_inverse: Tensor
    W: Tensor
    C: Tensor
    floor: Tensor
    scale: Tensor
    u_min: Tensor
    u_max: Tensor
    u_trim: Tensor
    has_feedback: bool
    """Whether the controls of a plan depend on the states it meets."""
    gains: tuple[Array, Array]
    """K and K_start for compiled roll-outs, which know no tensors."""

    def __init__(
        self,
        K: Array,
        K_start: Array,
        L: Array,
        W: Array,
        C: Array,
        floor: float,
        scale: float,
        u_min: Array,
        u_max: Array,
        u_trim: Array,
    ) -> None:
        super().__init__()
        numbers = (K, K_start, L, W, C, floor, scale, u_min, u_max, u_trim)
        for name, value in zip(STORED, numbers, strict=True):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))
        self.register_buffer('L_inverse', self.L, persistent=False)
        self.register_load_state_dict_post_hook(_derive)
        _derive(self)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PlanRepresentation:
        """Follows the model to another device, but keeps float64 when it changes its type."""
        return super()._apply(lambda number: number.to(fn(number).device), recurse)

    def scale_of(self, error: Tensor) -> Tensor:
        """S (B,) of the initial error (B, n_x)."""
        return (error.double() @ self.C.mT).square().sum(-1).add(self.floor).sqrt()

    def problem_features(self, error: Tensor, time_remaining: Tensor) -> Tensor:
        """What the state encoder reads: direction and size of C e0, time (B, 2 n_x + 1)."""
        metric_error = error.double() @ self.C.mT
        direction = metric_error / self.scale_of(error)[:, None]
        size = torch.asinh(metric_error / self.scale)
        return torch.cat([direction, size, time_remaining.double()], dim=-1)

    def plan_features(self, v: Tensor, s: Tensor) -> Tensor:
        """Asinh of L'v / s (B, T, n_u)."""
        metric = torch.einsum('tji,btj->bti', self.L, v.double())
        return torch.asinh(metric / s[:, None, None])

    def control_features(self, controls: Tensor) -> Tensor:
        """The place of controls (B, T, n_u) between their bounds, from -1 to 1."""
        middle, half = (self.u_max + self.u_min) / 2, (self.u_max - self.u_min) / 2
        return (controls.double() - middle) / half

    def state_features(self, error: Tensor, s: Tensor) -> Tensor:
        """Asinh of W e / s for errors (B, N, n_x)."""
        return torch.asinh(error.double() @ self.W.mT / s[:, None, None])

    def metric_gradient(self, gradient: Tensor, s: Tensor) -> Tensor:
        """L^-1 dJ/dv / s (B, T, n_u): the Newton step about the goal is minus half of it."""
        slope = torch.einsum('tij,btj->bti', self.L_inverse, gradient.double())
        return slope / s[:, None, None]

    def step(self, output: Tensor, s: Tensor) -> Tensor:
        """The change of v (B, T, n_u) that a dimensionless output o stands for: s L^-T o."""
        o = output.double() * s[:, None, None]
        return torch.einsum('tji,btj->bti', self.L_inverse, o)

    def open_loop_controls(self, v: Tensor) -> Tensor:
        """clip(u_trim + v), for K = 0 and no dynamics at hand (B, T, n_u)."""
        return torch.clamp(self.u_trim + v, self.u_min, self.u_max)


def _derive(representation: PlanRepresentation, _: object = None) -> None:
    """Computes what follows from the numbers, which may just have been loaded."""
    representation.L_inverse = torch.linalg.inv(representation.L)
    representation.has_feedback = bool(representation.K.any())
    representation.gains = (
        representation.K.cpu().numpy().copy(),
        representation.K_start.cpu().numpy().copy(),
    )


def from_config(config: TRCConfig) -> PlanRepresentation:
    """Open-loop plans in units of half the control range, states in physical units."""
    T, n_x, n_u = config.control_horizon, config.state_dim, config.control_dim
    u_min, u_max = control_limits(config.control_bounds, n_u)
    return PlanRepresentation(
        K=np.zeros((T, n_u, n_x)),
        K_start=np.zeros((1, T, n_u, n_x)),
        L=np.tile(np.diag(2 / (u_max - u_min)), (T, 1, 1)),
        W=np.eye(n_x),
        C=np.eye(n_x),
        floor=1.0,
        scale=1.0,
        u_min=u_min,
        u_max=u_max,
        u_trim=np.clip(np.zeros(n_u), u_min, u_max),
    )


def open_loop(system: System) -> PlanRepresentation:
    """Open-loop plans; states in units of the boxes, controls in half of their range."""
    width = system.x0_box + system.goal_box
    W = np.diag(1 / np.where(width > 0, width, 1.0))
    half = (system.u_max - system.u_min) / 2
    return PlanRepresentation(
        K=np.zeros((system.horizon, system.n_u, system.n_x)),
        K_start=finite_horizon_gains(system)[0][None],
        L=np.tile(np.diag(1 / half), (system.horizon, 1, 1)),
        W=W,
        C=W,
        floor=1.0,
        scale=1.0,
        u_min=system.u_min,
        u_max=system.u_max,
        u_trim=system.u_trim,
    )


def stabilised(system: System) -> PlanRepresentation:
    """Plans around the finite-horizon LQR, in its own metric."""
    K, P, H = finite_horizon_gains(system)
    values, vectors = np.linalg.eigh(system.Q)
    spread = np.diag((system.x0_box**2 + system.goal_box**2) / 3)  # of x0 - goal, both uniform
    mean = float(np.trace(P[0] @ spread))
    return PlanRepresentation(
        K=K,
        K_start=K[None],
        L=np.asarray(np.linalg.cholesky(H), dtype=np.float64),
        W=vectors @ np.diag(np.sqrt(np.clip(values, 0, None))) @ vectors.T,
        C=np.linalg.cholesky(P[0]).T,
        floor=SCALE_FLOOR * mean,
        scale=np.sqrt(mean),
        u_min=system.u_min,
        u_max=system.u_max,
        u_trim=system.u_trim,
    )


REPRESENTATIONS = {'open_loop': open_loop, 'stabilised': stabilised}


def control_limits(bounds: float | Sequence[float], n_u: int) -> tuple[Array, Array]:
    """(u_min, u_max), each (n_u,), from a symmetric scalar or one half-width per channel."""
    half = np.asarray(bounds, dtype=np.float64)
    if half.shape not in ((), (n_u,)):
        raise ValueError(f'control_bounds has shape {half.shape}, expected one number or {n_u}')
    half = np.broadcast_to(half, (n_u,))
    if not np.all(half > 0):
        raise ValueError(f'control_bounds must be positive, got {bounds}')
    return -half, half.copy()
