"""Physics as nodes, for plants whose step is affine: roll-outs, gradients, dimensionless units.

Trajectories are rows: errors e_0 .. e_T side by side (R, (T + 1) n_x), with e = x - goal, and
controls or plans v (R, T n_u). All is in float64 but for what the network reads.
"""

from __future__ import annotations

import numpy as np

from trc_core.checkpoint import Checkpoint
from trc_core.export.builder import Builder, Value
from trc_core.numerics.rollout import BOUND_TOLERANCE
from trc_core.problem.system import Array, System

MOST_STATES = 100  # T n_x of a graph that is unrolled in time
PROBES, AFFINE_TOLERANCE = 8, 1e-9


def fits(checkpoint: Checkpoint) -> bool:
    """Whether the roll-outs belong inside the graph.

    The step must be affine (its Jacobians are the same at random points of twice the box), the
    horizon short (T n_x <= 100), the feedback without a gate, and the search plain: one LQR plan
    to start from, and no iLQR sweeps.
    """
    system, numbers = checkpoint.system, checkpoint.representation
    plain = not numbers.G.any() and numbers.mirror < 0 and not len(numbers.angles)
    simple = len(numbers.K_start) == 1 and checkpoint.model['sweeps'] == 0
    return plain and simple and system.horizon * system.n_x <= MOST_STATES and is_affine(system)


def is_affine(system: System) -> bool:
    """Whether the Jacobians of the step are constant."""
    rng = np.random.default_rng(0)
    width = 2 * np.maximum(system.x0_box + system.goal_box, 1.0)
    jacobians = [
        np.hstack(
            system.step_jacobian(
                rng.uniform(-width, width), rng.uniform(system.u_min, system.u_max)
            )
        )
        for _ in range(PROBES)
    ]
    return bool(np.allclose(jacobians, jacobians[0], rtol=0, atol=AFFINE_TOLERANCE))


class Plant:
    """Roll-outs, costs and gradients of feedback plans as nodes."""

    def __init__(self, builder: Builder, checkpoint: Checkpoint) -> None:
        system = self.system = checkpoint.system
        self.builder, self.T = builder, system.horizon
        origin = np.zeros(system.n_x)
        self.A, self.B = system.step_jacobian(origin, system.u_trim)
        self.offset = system.step(origin, system.u_trim) - self.B @ system.u_trim
        self.K = checkpoint.representation.K
        self.Q = block_diagonal([*[system.Q] * self.T, system.Q_f])
        self.R = block_diagonal([system.R] * self.T)
        self.u_min, self.u_max, self.u_trim = (
            np.tile(limit, self.T) for limit in (system.u_min, system.u_max, system.u_trim)
        )
        feedback = block_diagonal([K_t.T for K_t in self.K])
        self.feedback = np.vstack([feedback, np.zeros((system.n_x, feedback.shape[1]))])

    def drift(self, goal: Value) -> Value:
        """D (R, n_x) of e' = A e + B u + d."""
        return goal @ (self.A - np.eye(len(self.A))).T + self.offset

    def rollout(self, K: Array, v: Value, e0: Value, drift: Value) -> tuple[Value, Value, Value]:
        """Errors, controls and J (R, 1) of plans v flown with gains K (T, n_u, n_x)."""
        add, system = self.builder.add, self.system
        errors, controls = [e0], []
        for t, forward in enumerate((v + self.u_trim).split(self.T)):
            raw = add('Gemm', errors[-1], np.ascontiguousarray(-K[t].T), forward)
            u_t = add('Min', add('Max', raw, system.u_min), system.u_max)
            moved = add('Gemm', errors[-1], np.ascontiguousarray(self.A.T), drift)
            errors.append(add('Gemm', u_t, np.ascontiguousarray(self.B.T), moved))
            controls.append(u_t)
        e, u = self.builder.concat(errors), self.builder.concat(controls)
        u = self.builder.where(u <= self.u_max, u, self.u_min)  # bounds, even where x overflows
        effort = u - self.u_trim
        J = (e @ self.Q * e).sum(1) + (effort @ self.R * effort).sum(1)
        return e, u, J

    def reprojected(self, e: Value, u: Value) -> Value:
        """The plan that reproduces u along e."""
        return u - self.u_trim + e @ self.feedback

    def gradient(self, e: Value, u: Value) -> Value:
        """Projected dJ/dv (R, T n_u) along a trajectory, by the adjoint method."""
        builder, add, T = self.builder, self.builder.add, self.T
        pull = (e @ (2 * self.Q)).split(T + 1)
        push = ((u - self.u_trim) @ (2 * self.R)).split(T)
        zero, anything = (builder.constant(number, np.float64) for number in (0.0, -np.inf))
        above = builder.where(u < self.u_max - BOUND_TOLERANCE, anything, zero).split(T)
        below = builder.where(u <= self.u_min + BOUND_TOLERANCE, zero, np.inf).split(T)
        costate, slopes = pull[T], []
        for t in range(T - 1, -1, -1):
            slope = add('Gemm', costate, self.B, push[t])
            slopes.append(add('Min', add('Max', slope, above[t]), below[t]))
            costate = add('Gemm', costate, self.A, pull[t])
            costate = add('Gemm', slopes[-1], -self.K[t], costate)
        return builder.concat(slopes[::-1])


class Units:
    """Physical numbers to dimensionless ones and back; s (R, 1) is the size of the problem."""

    def __init__(self, builder: Builder, checkpoint: Checkpoint) -> None:
        numbers, system = checkpoint.representation, checkpoint.system
        feedback, T = checkpoint.model['feedback'], system.horizon
        self.builder, self.numbers = builder, numbers
        self.metric = block_diagonal(list(numbers.L))
        self.slope = block_diagonal([M.T for M in numbers.L_inverse])
        self.step = block_diagonal(list(numbers.L_inverse))
        self.middle = np.tile((system.u_max + system.u_min) / 2, T)
        self.half = np.tile((system.u_max - system.u_min) / 2, T)
        stride = checkpoint.model['feedback_stride']
        seen = [T] * ('terminal' in feedback)
        seen += list(range(stride, T + 1, stride)) * ('trajectory' in feedback)
        self.sight = np.kron(np.eye(T + 1)[:, seen], numbers.W.T)

    def size(self, e0: Value) -> Value:
        """S (B, 1)."""
        scaled = e0 @ self.numbers.S.T
        return self.builder.add('Sqrt', (scaled * scaled).sum(1) + self.numbers.floor)

    def problem(self, e0: Value, s: Value) -> Value:
        """What the state encoder reads."""
        told = (s * 0.0) + np.array([[*self.numbers.inputs, 1.0]])
        parts = [e0 @ self.numbers.C.T / s, self._asinh(e0 @ self.numbers.D.T), told]
        return self.builder.concat([part.cast(np.float32) for part in parts])

    def plan(self, v: Value, u: Value, s: Value) -> Value:
        """What the control embedding reads."""
        place = (u - self.middle) / self.half
        return self.builder.concat([self._asinh(v @ self.metric / s), place.cast(np.float32)])

    def consequences(self, e: Value, slope: Value | None, s: Value) -> Value | None:
        """What the error encoder reads."""
        parts = [self._asinh(e @ self.sight / s)] if self.sight.size else []
        parts += [] if slope is None else [self._asinh(slope)]
        return self.builder.concat(parts) if parts else None

    def _asinh(self, value: Value) -> Value:
        return self.builder.add('Asinh', value.cast(np.float32))


def block_diagonal(blocks: list[Array]) -> Array:
    """Blocks (m, n) along the diagonal of a matrix of zeros."""
    (m, n), count = blocks[0].shape, len(blocks)
    matrix = np.zeros((count, m, count, n))
    for k, block in enumerate(blocks):
        matrix[k, :, k] = block
    return matrix.reshape(count * m, count * n)
