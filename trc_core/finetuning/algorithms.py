"""Algorithms that improve a policy, in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from trc_core.finetuning.analytic import Analytic
from trc_core.finetuning.config import FinetuneConfig
from trc_core.finetuning.flights import FlightRecord
from trc_core.finetuning.policy import (
    CorrectionPolicy,
    PlanGain,
    Trace,
    group_advantages,
    group_scaled,
    shaped,
    surrogate,
)
from trc_core.finetuning.problems import Problems, Scenario, planner_of
from trc_core.numerics.plan import Plan
from trc_core.planner.controller import Controller
from trc_core.problem.system import Array


class Algorithm(Protocol):
    """Improves a policy, iteration by iteration."""

    def improve(
        self,
        policy: CorrectionPolicy,
        optimiser: torch.optim.Optimizer,
        controller: Controller,
        iteration: int,
    ) -> dict[str, float]:
        """Flies, learns, and returns the figures to show.

        Args:
            policy: changed in place.
            optimiser: steps the parameters of the policy.
            controller: flies the policy as it is before.
            iteration: counts from 0; decides what is drawn.
        """


@dataclass(frozen=True)
class Experience:
    """Data of an iteration: N ticks to learn from."""

    trace: Trace
    actions: Tensor
    """Commanded controls before the bounds, in half ranges about the trim control (N, n_u)."""
    log_prob: Tensor
    """Log-probability of the actions under the policy that flew (N,)."""
    advantage: Tensor
    """(N,)."""
    nominal: Tensor
    """(N,), whether the plant was the model itself."""


class Explorer:
    """Gaussian exploration around the commands of the policy, and a record of it.

    Args:
        policy: says around which commands to explore.
        controller: makes its plans.
        goal: (B, n_x).
        seed: decides the exploration.
    """

    def __init__(
        self, policy: CorrectionPolicy, controller: Controller, goal: Array, seed: int
    ) -> None:
        self._policy, self._controller, self._goal = policy, controller, goal
        self._gain = PlanGain(controller.system)
        self._generator = torch.Generator().manual_seed(seed)
        self.traces: list[Trace] = []
        self.actions: list[Tensor] = []

    def __call__(self, plan: Plan) -> Array:
        """The commands (B, n_u)."""
        system, observation = self._controller.system, plan.observation
        correction = self._controller.correction
        assert observation is not None and correction is not None
        offset = correction.predicted_state(observation) - observation.state.x
        gain = self._gain(plan, self._goal)
        trace = Trace.of(system, observation, offset, gain)
        with torch.no_grad():
            centred = self._policy.distribution(trace)
            noise = torch.randn(centred.mean.shape, generator=self._generator, dtype=torch.float64)
            action = centred.mean + centred.stddev * noise
        self.traces.append(trace)
        self.actions.append(action)
        half = (system.u_max - system.u_min) / 2
        return system.u_trim + half * action.numpy()


class PolicyGradient:
    """Group-relative, clipped policy gradient, anchored to the supervised controller."""

    def __init__(self, config: FinetuneConfig, problems: Problems) -> None:
        self.config, self.problems = config, problems

    def improve(
        self,
        policy: CorrectionPolicy,
        optimiser: torch.optim.Optimizer,
        controller: Controller,
        iteration: int,
    ) -> dict[str, float]:
        """Flies groups with exploration, then takes clipped steps on what they taught."""
        scenario = self.problems.drawn(iteration)
        seed = int(np.random.SeedSequence([self.config.seed, iteration, 1]).generate_state(1)[0])
        explorer = Explorer(policy, controller, scenario.start.goal, seed)
        flown = self.problems.fly(planner_of(controller), scenario, explorer)
        experience = self._experience(policy, explorer, flown, scenario)
        figures = self._learn(policy, optimiser, experience, seed)
        wrong = flown.total[~scenario.nominal]
        return {
            'return': -float(wrong.mean() if len(wrong) else flown.total.mean()),
            'lost': float(flown.ended[-1].mean()),
            **figures,
            'entropy': float(policy.log_std.detach().mean() + 0.5 * np.log(2 * np.pi * np.e)),
            'trust': float(policy.trust.detach()),
        }

    def _experience(
        self, policy: CorrectionPolicy, explorer: Explorer, flown: FlightRecord, scenario: Scenario
    ) -> Experience:
        """The ticks to learn from: none after an end, nor the first, which is never corrected."""
        config = self.config
        alive = ~flown.ended[:-1]
        value = self.problems.cost_to_go(flown.states - scenario.start.goal)
        cost = shaped(flown.cost, value)
        advantage = group_advantages(cost, config.members, config.discount, alive)
        advantage = group_scaled(advantage, config.members, config.advantage_limit)
        kept = alive[1:].reshape(-1)
        trace = Trace.joined(explorer.traces[1:])[torch.from_numpy(kept)]
        actions = torch.cat(explorer.actions[1:])[torch.from_numpy(kept)]
        nominal = np.broadcast_to(scenario.nominal, alive[1:].shape).reshape(-1)
        with torch.no_grad():
            log_prob = policy.distribution(trace).log_prob(actions).sum(1)
        taught = torch.from_numpy(advantage[1:].reshape(-1)[kept])
        return Experience(trace, actions, log_prob, taught, torch.from_numpy(nominal[kept].copy()))

    def _learn(
        self,
        policy: CorrectionPolicy,
        optimiser: torch.optim.Optimizer,
        experience: Experience,
        seed: int,
    ) -> dict[str, float]:
        config, N = self.config, len(experience.actions)
        generator = torch.Generator().manual_seed(seed)
        divergence = 0.0
        for _ in range(config.epochs):
            order = torch.randperm(N, generator=generator)
            for rows in order.split(config.minibatch):
                self._step(policy, optimiser, experience, rows)
            with torch.no_grad():
                log_ratio = self._log_ratio(policy, experience, torch.arange(N))
                divergence = float((log_ratio.exp() - 1 - log_ratio).mean())
            if divergence > config.kl_limit:
                break
        with torch.no_grad():
            nominal = experience.nominal
            anchor = self._anchor(policy, experience.trace[nominal]) if nominal.any() else 0.0
        return {'kl': divergence, 'anchor': float(anchor)}

    def _step(
        self,
        policy: CorrectionPolicy,
        optimiser: torch.optim.Optimizer,
        experience: Experience,
        rows: Tensor,
    ) -> None:
        log_ratio = self._log_ratio(policy, experience, rows)
        loss = -surrogate(log_ratio, experience.advantage[rows], self.config.clip)
        nominal = rows[experience.nominal[rows]]
        if len(nominal):
            loss = loss + self.config.anchor * self._anchor(policy, experience.trace[nominal])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), self.config.gradient_clip)
        optimiser.step()

    @staticmethod
    def _log_ratio(policy: CorrectionPolicy, experience: Experience, rows: Tensor) -> Tensor:
        now = policy.distribution(experience.trace[rows]).log_prob(experience.actions[rows])
        return now.sum(1) - experience.log_prob[rows]

    @staticmethod
    def _anchor(policy: CorrectionPolicy, trace: Trace) -> Tensor:
        """KL divergence from the supervised controller under the same exploration."""
        std = policy.log_std.detach().exp()
        return 0.5 * torch.square(policy.departure(trace) / std).sum(1).mean()


ALGORITHMS: dict[str, Callable[[FinetuneConfig, Problems], Algorithm]] = {
    'policy_gradient': PolicyGradient,
    'analytic': Analytic,
}
