"""The correction as a policy in PyTorch: Gaussian around the plan, and a record of its ticks."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trc_core.compile.binding import plant_of
from trc_core.compile.kernels import compiled
from trc_core.numerics.backward import Gains, backward, new_curvature, no_push
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.parallel import in_blocks
from trc_core.numerics.plan import Plan
from trc_core.numerics.rollout import Trajectory
from trc_core.planner.correction import Observation, Weights, control_change, look_ahead
from trc_core.problem.system import Array, System

SCALARS = ('trust', 'prior', 'sharpness')
LAYERS = ('hidden_weight', 'hidden_bias', 'output_weight', 'output_bias')
SMALLEST_STD = 0.01  # of exploration, in half ranges
ROWS_PER_THREAD = 8


@dataclass(frozen=True)
class Trace:
    """Inputs of the policy at N ticks. Controls are in half ranges about the trim control."""

    evidence: Tensor
    """(N, DELAYS)."""
    displacements: Tensor
    """(N, DELAYS, n_x)."""
    features: Tensor
    """(N, F)."""
    first: Tensor
    """First control of the plan, uncorrected (N, n_u)."""
    gain: Tensor
    """Derivative of `first` by the state planned from (N, n_u, n_x); 0 on a bound."""
    offset: Tensor
    """The state planned from less the measured one (N, n_x)."""

    def __getitem__(self, rows: Tensor) -> Trace:
        return Trace(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @classmethod
    def of(cls, system: System, observation: Observation, offset: Array, gain: Array) -> Trace:
        """The trace of one tick of B flights."""
        half = (system.u_max - system.u_min) / 2
        return cls(
            evidence=torch.from_numpy(observation.state.evidence),
            displacements=torch.from_numpy(observation.displacements),
            features=torch.from_numpy(observation.features),
            first=torch.from_numpy((observation.first - system.u_trim) / half),
            gain=torch.from_numpy(gain / half[:, None]),
            offset=torch.from_numpy(offset),
        )

    @classmethod
    def joined(cls, traces: list[Trace]) -> Trace:
        """Traces one after the other."""
        return cls(
            **{f.name: torch.cat([getattr(t, f.name) for t in traces]) for f in fields(cls)}
        )


class CorrectionPolicy(nn.Module):
    """Gaussian exploration around the corrected first control of a plan.

    Args:
        weights: those to start from.
        std: standard deviation of exploration, in half ranges.
    """

    trust: nn.Parameter
    prior: nn.Parameter
    sharpness: nn.Parameter
    hidden_weight: nn.Parameter
    hidden_bias: nn.Parameter
    output_weight: nn.Parameter
    output_bias: nn.Parameter

    def __init__(self, weights: Weights, std: float) -> None:
        super().__init__()
        for name in (*SCALARS, *LAYERS):
            value = torch.tensor(getattr(weights, name), dtype=torch.float64)
            setattr(self, name, nn.Parameter(value))
        n_u = len(weights.output_bias)
        self.log_std = nn.Parameter(torch.full((n_u,), np.log(std), dtype=torch.float64))
        self.amplitude = float(weights.amplitude)

    def scalars(self) -> list[nn.Parameter]:
        """The parameters that say how far to look ahead."""
        return [getattr(self, name) for name in SCALARS]

    def layers(self) -> list[nn.Parameter]:
        """The parameters of the network that corrects the first control."""
        return [getattr(self, name) for name in LAYERS]

    def tensors(self) -> Weights:
        """The weights as they are learnt: tensors with gradients."""
        named = {name: getattr(self, name) for name in (*SCALARS, *LAYERS)}
        return Weights(**named, amplitude=self.amplitude)

    def offset(self, trace: Trace) -> Tensor:
        """The state to plan from less the measured one (N, n_x)."""
        return look_ahead(self.tensors(), trace.evidence, trace.displacements, torch)

    def change(self, trace: Trace) -> Tensor:
        """The change of the first controls (N, n_u), in half ranges."""
        return control_change(self.tensors(), trace.features, torch)

    def mean(self, trace: Trace) -> Tensor:
        """The corrected first controls (N, n_u), around which to explore.

        A plan from another state than the recorded one is taken to first order.
        """
        moved = torch.einsum('nij,nj->ni', trace.gain, self.offset(trace) - trace.offset)
        return trace.first + moved + self.change(trace)

    def departure(self, trace: Trace) -> Tensor:
        """The mean less the control of the uncorrected controller (N, n_u), to first order."""
        moved = torch.einsum('nij,nj->ni', trace.gain, self.offset(trace))
        return moved + self.change(trace)

    def distribution(self, trace: Trace) -> torch.distributions.Normal:
        """The distribution of the controls (N, n_u)."""
        std = self.log_std.exp().clamp(min=SMALLEST_STD)
        return torch.distributions.Normal(self.mean(trace), std.expand(len(trace.first), -1))

    def weights(self) -> Weights:
        """The weights as they fly: NumPy arrays."""
        named = {name: getattr(self, name).detach().numpy().copy() for name in (*SCALARS, *LAYERS)}
        return Weights(**named, amplitude=np.array(self.amplitude))


class PlanGain:
    """Gain of the first control of a plan by its state, from a backward pass along the plan.

    Source: the feedback of control-limited iLQR (see `backward.py`), second derivatives left out.
    """

    def __init__(self, system: System) -> None:
        self.system = system

    def __call__(self, plan: Plan, goal: Array) -> Array:
        """The gains (B, n_u, n_x) of B plans."""
        u, x = plan.controls, plan.states
        B, T, n_u = u.shape
        found, r = np.zeros((B, n_u, self.system.n_x)), constant_reference(goal, T)
        kernel, plant = compiled(backward), plant_of(self.system)

        n_x = self.system.n_x

        def run(rows: slice) -> None:
            gains = Gains(np.empty((T, n_u)), np.empty((T, n_u, n_x)))
            curvature, push = new_curvature(T, n_u, np.empty((0, n_x, n_x))), no_push(plant, T)
            for b in range(B)[rows]:
                kernel(plant, Trajectory(x[b], u[b]), r[b], 0.0, gains, curvature, push)
                found[b] = gains.K[0]

        in_blocks(run, B, ROWS_PER_THREAD)
        return np.nan_to_num(found)


def group_advantages(
    cost: Array, members: int, discount: float, alive: NDArray[np.bool_] | None = None
) -> Array:
    """Group-relative advantage of every flight at every tick (T, B): a lower cost to go.

    Flights of a group of `members` in a row have the same plant, start and noise: what is left
    between them is exploration. The baseline at a tick is the mean of the others' costs to go,
    which do not depend on the flight's own control: the gradient stays unbiased.

    Args:
        cost: stage costs and the terminal one (T + 1, B).
        members: flights in a group.
        discount: of costs to come, per tick.
        alive: (T, B), which ticks count.
    """
    to_go = np.empty_like(cost)
    to_go[-1] = cost[-1]
    for t in range(len(cost) - 2, -1, -1):
        to_go[t] = cost[t] + discount * to_go[t + 1]
    grouped = to_go[:-1].reshape(len(cost) - 1, -1, members)
    others = (grouped.sum(2, keepdims=True) - grouped) / (members - 1)
    advantage = (others - grouped).reshape(len(cost) - 1, -1)
    return advantage if alive is None else np.where(alive, advantage, 0.0)


def shaped(cost: Array, value: Array) -> Array:
    """Stage costs (T + 1, B), shaped by the change of the cost to go; none at the end.

    A discount then means: what a control does is counted for a while, and what is left behind
    that as the cost to go. It takes the luck of earlier ticks out of later ones, as a baseline
    that depends on the state does. Source: Ng, Harada, Russell, Policy invariance under reward
    transformations (1999); with the discount as lambda, it is the estimator of Schulman et al.,
    High-dimensional continuous control using generalized advantage estimation (2016).

    Args:
        cost: stage costs and the terminal one (T + 1, B).
        value: the cost to go from every state (T + 1, B).
    """
    return np.concatenate([cost[:-1] + np.diff(value, axis=0), np.zeros_like(cost[:1])])


def group_scaled(advantage: Array, members: int, limit: float) -> Array:
    """Advantages (T, B) in units of their group's own deviation, no larger than `limit`."""
    T = len(advantage)
    grouped = advantage.reshape(T, -1, members)
    size = np.sqrt(np.square(grouped).mean((0, 2), keepdims=True))
    scaled = grouped / np.maximum(size, 1e-12)
    return np.clip(scaled, -limit, limit).reshape(T, -1)


def surrogate(log_ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """PPO's clipped objective, to be maximised; its gradient at ratio 1 is the policy gradient.

    Source: Schulman et al., Proximal policy optimization algorithms (2017), equation 7; the
    advantages are group-relative as in Shao et al., DeepSeekMath (2024), equation 3.
    """
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    return torch.minimum(ratio * advantage, clipped * advantage).mean()
