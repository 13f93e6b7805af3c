"""Delay and disturbance compensation: the correction that fine-tuning adds to a controller.

The mathematics stands here once, for NumPy arrays (in flight) and PyTorch tensors (in training):
every function takes the array namespace, `numpy` or `torch`.

No guard judges a correction. The guard compares predicted costs on the model, where the plan that
it would correct is the best there is; that the correction pays was measured on plants that differ
from the model (docs/finetuning.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trc_core.checkpoint_tensors import CORRECTION, DELAYS, feature_count
from trc_core.problem.system import Array, System

AnyArray = Any  # a NumPy array or a PyTorch tensor
Step = Callable[[AnyArray, AnyArray], AnyArray]
"""The model: states (B, n_x) one dt after holding controls (B, n_u)."""

FORGETTING = 0.99  # of the evidence against a delay, per tick
CREDIBLE = 4.0  # the most that one tick counts against a delay, in squared half ranges
SMOOTHING = 0.8  # of the mean disturbance, per tick
FEATURE_LIMIT = 3.0  # a feature beyond it says nothing more


@dataclass(frozen=True)
class CorrectionState:
    """State of the delay and disturbance estimator of B flights, from one tick to the next."""

    x: AnyArray
    """Last measured states (B, n_x)."""
    commands: AnyArray
    """The commands of the last ticks (B, DELAYS, n_u), newest first."""
    evidence: AnyArray
    """Against each delay (B, DELAYS): squared prediction errors, in squared half ranges."""
    disturbance: AnyArray
    """The newest force beyond the model (B, n_u), in half ranges."""
    mean_disturbance: AnyArray
    """Smoothed disturbance (B, n_u)."""


@dataclass(frozen=True)
class Observation:
    """Estimates of one tick; the plan adds `features` and `first`."""

    state: CorrectionState
    """With the newest measurement."""
    displacements: AnyArray
    """Predicted change of the state until a new command takes effect, for every delay
    (B, DELAYS, n_x)."""
    has_history: bool
    """Whether there was a tick before; nothing is corrected at the first."""
    features: AnyArray = None
    """Inputs of the network, from the estimates and the plan (B, F)."""
    first: AnyArray = None
    """The first control of the plan before it was corrected (B, n_u)."""


@dataclass(frozen=True)
class Weights:
    """The numbers that fine-tuning learns. At the start they correct nothing."""

    trust: AnyArray
    """(), how far the plan looks ahead: 0 not at all, 1 by the delay that the evidence shows."""
    prior: AnyArray
    """(DELAYS,), log-odds of the delays before any evidence."""
    sharpness: AnyArray
    """(), logarithm of how much the evidence counts."""
    hidden_weight: AnyArray
    """(H, F)."""
    hidden_bias: AnyArray
    """(H,)."""
    output_weight: AnyArray
    """(n_u, H)."""
    output_bias: AnyArray
    """(n_u,)."""
    amplitude: AnyArray
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
        """Weights from the tensors of a checkpoint.

        Raises:
            KeyError: if one is missing.
        """
        return cls(**{f.name: np.asarray(tensors[CORRECTION + f.name]) for f in fields(cls)})

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The inverse of `from_tensors`."""
        return {CORRECTION + f.name: np.asarray(getattr(self, f.name)) for f in fields(self)}


def widths(system: System) -> Array:
    """The largest error that training begins with (n_x,); 1 where it begins with none."""
    width = system.x0_box + system.goal_box
    return np.where(width > 0, width, 1.0)


def disturbance_gain(system: System) -> Array:
    """(n_u, n_x): the control, in half ranges, that explains best a change of the next state."""
    _, B = system.step_jacobian(system.goal_centre, system.u_trim)
    half = (system.u_max - system.u_min) / 2
    return np.linalg.pinv(B) / half[:, None]


def delay_probabilities(weights: Weights, evidence: AnyArray, xp: ModuleType = np) -> AnyArray:
    """Probability of every delay (B, DELAYS), given the evidence against each (B, DELAYS)."""
    evidence = evidence - xp.amin(evidence, 1, keepdims=True)
    odds = weights.prior - xp.exp(weights.sharpness) * evidence
    share = xp.exp(odds - xp.amax(odds, 1, keepdims=True))
    return share / share.sum(1, keepdims=True)


def look_ahead(
    weights: Weights, evidence: AnyArray, displacements: AnyArray, xp: ModuleType = np
) -> AnyArray:
    """States to plan from less the measured ones (B, n_x): where a new command will act."""
    probabilities = delay_probabilities(weights, evidence, xp)
    return weights.trust * xp.einsum('bd,bdi->bi', probabilities, displacements)


def control_change(weights: Weights, features: AnyArray, xp: ModuleType = np) -> AnyArray:
    """Output of the network: the change of the first controls (B, n_u), in half ranges."""
    hidden = xp.tanh(features @ weights.hidden_weight.T + weights.hidden_bias)
    return weights.amplitude * xp.tanh(hidden @ weights.output_weight.T + weights.output_bias)


class Correction:
    """Estimator of delay and disturbance, and the correction that follows from its estimates.

    State in, state out: it remembers nothing itself.

    Args:
        system: the model.
        weights: learnt by fine-tuning; arrays of the namespace.
        step: the model's step, on arrays of the namespace.
        xp: the array namespace, `numpy` or `torch`.
    """

    def __init__(self, system: System, weights: Weights, step: Step, xp: ModuleType = np) -> None:
        self.weights = weights
        self._step, self._xp = step, xp
        self._trim = xp.asarray(system.u_trim)
        self._low, self._high = xp.asarray(system.u_min), xp.asarray(system.u_max)
        self._half = (self._high - self._low) / 2
        self._width = xp.asarray(widths(system))
        self._disturbance_gain = xp.asarray(disturbance_gain(system))

    def start(self, x: AnyArray) -> Observation:
        """The first tick of flights at x (B, n_x): the plant has obeyed its trim control."""
        xp, B, n_u = self._xp, len(x), len(self._trim)
        commands = xp.tile(self._trim, (B, DELAYS, 1))
        evidence = xp.zeros((B, DELAYS), dtype=x.dtype)
        nothing = xp.zeros((B, n_u), dtype=x.dtype)
        state = CorrectionState(x, commands, evidence, nothing, nothing)
        displacements = xp.zeros((B, DELAYS, x.shape[1]), dtype=x.dtype)
        return Observation(state, displacements, has_history=False)

    def update(
        self, state: CorrectionState, command: AnyArray, x: AnyArray, ticks: int = 1
    ) -> Observation:
        """The next tick.

        Args:
            state: after the last one.
            command: commanded then (B, n_u).
            x: newest measured states (B, n_x).
            ticks: since the last one; where it is not 1, nothing is learnt from the motion.
        """
        xp, commands = self._xp, state.commands
        for _ in range(min(ticks, DELAYS)):
            commands = xp.concatenate([command[:, None], commands[:, :-1]], axis=1)
        state = replace(state, commands=commands)
        if ticks == 1:
            state = self._estimated(state, x)
        state = replace(state, x=x)
        return Observation(state, self._displacements(state), has_history=True)

    def _estimated(self, state: CorrectionState, x: AnyArray) -> CorrectionState:
        """The estimates after the motion from `state.x` to x, each delay explaining it alone."""
        xp = self._xp
        explained = xp.stack(
            [
                (x - self._step(state.x, state.commands[:, d])) @ self._disturbance_gain.T
                for d in range(DELAYS)
            ],
            axis=1,
        )  # (B, DELAYS, n_u)
        explained = xp.nan_to_num(xp.clip(explained, -FEATURE_LIMIT, FEATURE_LIMIT))
        against = xp.clip(xp.square(explained).sum(-1), None, CREDIBLE)
        evidence = FORGETTING * state.evidence + against
        disturbance = explained[xp.arange(len(x)), evidence.argmin(1)]
        mean = SMOOTHING * state.mean_disturbance + (1 - SMOOTHING) * disturbance
        return replace(state, evidence=evidence, disturbance=disturbance, mean_disturbance=mean)

    def _displacements(self, state: CorrectionState) -> AnyArray:
        """Column d is what the commands of the last d ticks will do before a new one counts."""
        changes = [self._xp.zeros_like(state.x)]
        for d in range(1, DELAYS):
            x = state.x
            for k in range(d, 0, -1):
                x = self._step(x, state.commands[:, k - 1])
            changes.append(x - state.x)
        return self._xp.nan_to_num(self._xp.stack(changes, axis=1))

    def predicted_state(self, observation: Observation) -> AnyArray:
        """The states (B, n_x) to plan from: where a command that is given now will act."""
        state = observation.state
        return state.x + look_ahead(
            self.weights, state.evidence, observation.displacements, self._xp
        )

    def with_plan(self, observation: Observation, goal: AnyArray, first: AnyArray) -> Observation:
        """The observation with the network's features (B, F), dimensionless.

        Args:
            observation: of this tick.
            goal: (B, n_x).
            first: first controls of the plans (B, n_u).
        """
        state = observation.state
        parts = (
            (state.x - goal) / self._width,
            (first - self._trim) / self._half,
            (state.commands[:, 0] - self._trim) / self._half,
            state.disturbance,
            state.mean_disturbance,
        )
        features = self._xp.concatenate(parts, axis=1)
        features = self._xp.clip(features, -FEATURE_LIMIT, FEATURE_LIMIT)
        return replace(observation, features=features, first=first)

    def change(self, observation: Observation) -> AnyArray:
        """The change of the first controls (B, n_u), before the bounds; 0 at the first tick."""
        if not observation.has_history:
            return self._xp.zeros_like(observation.first)
        return control_change(self.weights, observation.features, self._xp) * self._half

    def corrected(self, observation: Observation) -> AnyArray:
        """The corrected first controls (B, n_u), inside the bounds."""
        controls = observation.first + self.change(observation)
        return self._xp.minimum(self._xp.maximum(controls, self._low), self._high)
