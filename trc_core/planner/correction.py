"""What fine-tuning adds: a look ahead by the delay that is seen, and a corrected first control.

No guard judges a correction. The guard compares predicted costs on the model, where the plan that
it would correct is the best there is; that the correction pays was measured on plants that differ
from the model (docs/finetuning.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trc_core.checkpoint import CORRECTION
from trc_core.numerics.batch_step import BatchStep
from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array, System

DELAYS = 4  # 0 to 3 ticks
FORGETTING = 0.99  # of the evidence against a delay, per tick
CREDIBLE = 4.0  # the most that one tick counts against a delay, in squared half ranges
SMOOTHING = 0.8  # of the mean push, per tick
FEATURE_LIMIT = 3.0  # a feature beyond it says nothing more


@dataclass(frozen=True)
class Past:
    """What was planned and commanded before."""

    plan: Plan | None = None
    elapsed: float | None = None
    """Seconds since it was made; the system's dt by default."""
    issued: Array | None = None
    """What was really commanded (B, n_u); the first control of the plan by default."""


@dataclass(frozen=True)
class Memory:
    """What is remembered of B flights from one tick to the next."""

    x: Array
    """Last measured states (B, n_x)."""
    commands: Array
    """The commands of the last ticks (B, DELAYS, n_u), newest first."""
    evidence: Array
    """Against each delay (B, DELAYS): squared prediction errors, in squared half ranges."""
    push: Array
    """The force beyond the model that the plant seems to feel (B, n_u): the newest, in half
    ranges."""
    mean_push: Array
    """The same, smoothed (B, n_u)."""


@dataclass(frozen=True)
class Sight:
    """What one tick shows, before anything is planned."""

    memory: Memory
    """With the newest measurement."""
    ahead: Array
    """By how much the state will have changed when a command takes effect, for every delay
    (B, DELAYS, n_x), as the model says."""
    begun: bool
    """Whether there was a tick before; nothing is corrected at the first."""
    features: Array | None = None
    """What the network read of it and of the plan (B, F)."""
    first: Array | None = None
    """The first control of the plan before it was corrected (B, n_u)."""


@dataclass(frozen=True)
class Weights:
    """The numbers that fine-tuning learns. At the start they correct nothing."""

    trust: Array
    """(), how far the plan looks ahead: 0 not at all, 1 by the delay that the evidence shows."""
    prior: Array
    """(DELAYS,), log-odds of the delays before any evidence."""
    sharpness: Array
    """(), logarithm of how much the evidence counts."""
    hidden_weight: Array
    """(H, F)."""
    hidden_bias: Array
    """(H,)."""
    output_weight: Array
    """(n_u, H)."""
    output_bias: Array
    """(n_u,)."""
    amplitude: Array
    """(), the largest correction, in half ranges of the control."""

    @classmethod
    def at_start(cls, system: System, hidden: int, amplitude: float, seed: int) -> Weights:
        """Weights that change nothing yet."""
        count = feature_count(system)
        weight = np.random.default_rng(seed).standard_normal((hidden, count)) / np.sqrt(count)
        return cls(
            trust=np.array(0.0),
            prior=np.zeros(DELAYS),
            sharpness=np.array(0.0),
            hidden_weight=weight,
            hidden_bias=np.zeros(hidden),
            output_weight=np.zeros((system.n_u, hidden)),
            output_bias=np.zeros(system.n_u),
            amplitude=np.array(amplitude),
        )

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]]) -> Weights:
        """From the tensors of a checkpoint.

        Raises:
            KeyError: if one is missing.
        """
        return cls(**{f.name: np.asarray(tensors[CORRECTION + f.name]) for f in fields(cls)})

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The inverse of `from_tensors`."""
        return {CORRECTION + f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}


def feature_count(system: System) -> int:
    """How many numbers the network of a correction reads."""
    return system.n_x + 4 * system.n_u


def widths(system: System) -> Array:
    """The largest error that training begins with (n_x,); 1 where it begins with none."""
    width = system.x0_box + system.goal_box
    return np.where(width > 0, width, 1.0)


def force_of(system: System) -> Array:
    """(n_u, n_x): the control, in half ranges, that explains best a change of the next state."""
    _, B = system.step_jacobian(np.zeros(system.n_x), system.u_trim)
    half = (system.u_max - system.u_min) / 2
    return np.linalg.pinv(B) / half[:, None]


class Correction:
    """State in, state out: it remembers nothing itself.

    Args:
        system: the model.
        weights: what fine-tuning has learnt.
    """

    def __init__(self, system: System, weights: Weights) -> None:
        self.system = system
        self.weights = weights
        self._step = BatchStep(system)
        self._half = (system.u_max - system.u_min) / 2
        self._width, self._force = widths(system), force_of(system)

    @property
    def kernel(self) -> Any:
        """What it compiles for its plant."""
        return self._step.kernel

    def start(self, x: Array) -> Sight:
        """The first tick of flights at x (B, n_x): the plant has obeyed its trim control."""
        B, n_u = len(x), self.system.n_u
        commands = np.tile(self.system.u_trim, (B, DELAYS, 1))
        nothing = np.zeros((B, n_u))
        memory = Memory(x, commands, np.zeros((B, DELAYS)), nothing, nothing)
        return Sight(memory, np.zeros((B, DELAYS, self.system.n_x)), begun=False)

    def see(self, x: Array, past: Past) -> Sight:
        """What a tick shows, the first one or the next.

        Args:
            x: newest measured states (B, n_x).
            past: with the plans of the last tick.
        """
        plan, command = past.plan, past.issued
        if plan is None or plan.sight is None:
            return self.start(x)
        if command is None:
            command = plan.controls.reshape(len(x), -1, self.system.n_u)[:, 0]
        elapsed = self.system.dt if past.elapsed is None else max(past.elapsed, 0.0)
        return self.observe(plan.sight.memory, command, x, round(elapsed / self.system.dt))

    def observe(self, memory: Memory, command: Array, x: Array, ticks: int = 1) -> Sight:
        """The next tick.

        Args:
            memory: of the last one.
            command: what was commanded then (B, n_u).
            x: newest measured states (B, n_x).
            ticks: since the last one; where it is not 1, nothing is learnt from the motion.
        """
        commands = memory.commands
        for _ in range(min(ticks, DELAYS)):
            commands = np.concatenate([command[:, None], commands[:, :-1]], axis=1)
        evidence, push, mean = memory.evidence, memory.push, memory.mean_push
        if ticks == 1:
            felt = np.stack(
                [
                    (x - self._step(memory.x, commands[:, d])) @ self._force.T
                    for d in range(DELAYS)
                ],
                axis=1,
            )  # (B, DELAYS, n_u)
            felt = np.nan_to_num(np.clip(felt, -FEATURE_LIMIT, FEATURE_LIMIT))
            against = np.minimum(np.square(felt).sum(-1), CREDIBLE)
            evidence = FORGETTING * evidence + against
            push = felt[np.arange(len(x)), evidence.argmin(1)]
            mean = SMOOTHING * mean + (1 - SMOOTHING) * push
        memory = Memory(x, commands, evidence, push, mean)
        return Sight(memory, self._ahead(memory), begun=True)

    def _ahead(self, memory: Memory) -> Array:
        """Column d is what the commands of the last d ticks will do before a new one counts."""
        changes = [np.zeros_like(memory.x)]
        for d in range(1, DELAYS):
            x = memory.x
            for k in range(d, 0, -1):
                x = self._step(x, memory.commands[:, k - 1])
            changes.append(x - memory.x)
        return np.nan_to_num(np.stack(changes, axis=1))

    def planned_from(self, sight: Sight) -> Array:
        """The states (B, n_x) to plan from: where a command that is given now will act."""
        ahead = np.einsum('bd,bdi->bi', self.belief(sight.memory.evidence), sight.ahead)
        return sight.memory.x + self.weights.trust * ahead

    def belief(self, evidence: Array) -> Array:
        """Probability of every delay (B, DELAYS)."""
        evidence = evidence - evidence.min(1, keepdims=True)
        odds = self.weights.prior - np.exp(self.weights.sharpness) * evidence
        share = np.exp(odds - odds.max(1, keepdims=True))
        return share / share.sum(1, keepdims=True)

    def features(self, sight: Sight, goal: Array, controls: Array) -> Array:
        """What the network reads (B, F), dimensionless.

        Args:
            sight: of this tick.
            goal: (B, n_x).
            controls: of the plan (B, T, n_u).
        """
        memory, trim = sight.memory, self.system.u_trim
        parts = (
            (memory.x - goal) / self._width,
            (controls[:, 0] - trim) / self._half,
            (memory.commands[:, 0] - trim) / self._half,
            memory.push,
            memory.mean_push,
        )
        return np.clip(np.concatenate(parts, axis=1), -FEATURE_LIMIT, FEATURE_LIMIT)

    def corrected(self, sight: Sight, goal: Array, controls: Array) -> tuple[Array, Sight]:
        """The first controls (B, n_u) of plans, corrected and inside the bounds.

        Args:
            sight: of this tick.
            goal: (B, n_x).
            controls: of the plans (B, T, n_u).

        Returns:
            The controls, and the sight with what they were made of.
        """
        first, features = controls[:, 0].copy(), self.features(sight, goal, controls)
        sight = replace(sight, features=features, first=first)
        if not sight.begun:
            return first, sight
        low, high = self.system.u_min, self.system.u_max
        return np.clip(first + self.change(features), low, high), sight

    def change(self, features: Array) -> Array:
        """What is added to the first controls (B, n_u), before the bounds."""
        w = self.weights
        hidden = np.tanh(features @ w.hidden_weight.T + w.hidden_bias)
        return w.amplitude * np.tanh(hidden @ w.output_weight.T + w.output_bias) * self._half
