"""Analytic policy gradients: the closed loop in PyTorch, for plants that have derivatives.

The plan's first control is taken to first order about the state that was planned from, with the
gain of a backward pass (`PlanGain`); everything else is differentiated exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trc_core.compile.torch_reader import TORCH, torch_step
from trc_core.finetuning.config import FinetuneConfig
from trc_core.finetuning.policy import CorrectionPolicy, PlanGain
from trc_core.finetuning.problems import Problems, Scenario
from trc_core.numerics.cost import difference, stage_cost, terminal_cost
from trc_core.numerics.plan import Plan
from trc_core.planner.controller import Controller
from trc_core.planner.correction import Correction, CorrectionState, widths
from trc_core.problem.system import Array, System
from trc_core.simulation.fleet import Draw, Fleet

Step = Callable[[Tensor, Tensor, Tensor], Tensor]


class DifferentiableFleet:
    """`Fleet` in PyTorch: parameters, gain, delay and disturbance, without friction and lag.

    Args:
        system: the model.
        fleet: gives the plants, and the disturbances from here on.

    Raises:
        ValueError: if a plant has friction, drag or a lag, or is integrated more finely.
    """

    def __init__(self, system: System, fleet: Fleet) -> None:
        draw: Draw = fleet.draw
        if fleet.substeps > 1 or any(a.any() for a in (draw.friction, draw.drag, draw.motor_lag)):
            raise ValueError(
                "algorithm 'analytic' flies plants without friction, drag, motor_lag and "
                'substeps; take policy_gradient'
            )
        self._fleet, self._step = fleet, torch_step(system)
        self._p, self._gain = torch.from_numpy(draw.p), torch.from_numpy(draw.gain)
        self._rows = torch.arange(len(draw.p))
        self._delay = torch.from_numpy(draw.delay[:, 0])
        trim = torch.from_numpy(system.u_trim)
        self._commands = trim.expand(int(draw.delay.max()) + 1, len(draw.p), -1)  # newest first

    def step(self, x: Tensor, u: Tensor) -> Tensor:
        """The states one dt after commanding u (B, n_u) in states x (B, n_x)."""
        self._commands = torch.cat([u[None], self._commands[:-1]])
        acting = self._commands[self._delay, self._rows]
        disturbance = torch.from_numpy(self._fleet.disturbance())
        return self._step(x, self._gain * acting + disturbance, self._p)


@dataclass(frozen=True)
class Tick:
    """One tick of B differentiable flights."""

    x: Tensor
    """True states (B, n_x)."""
    u: Tensor
    """Commands (B, n_u)."""
    departure: Tensor
    """Correction relative to the supervised controller (B, n_u), in half ranges."""


class Analytic:
    """Gradient descent on the cost of flights without exploration.

    Raises:
        ValueError: if the plants are black boxes.
    """

    def __init__(self, config: FinetuneConfig, problems: Problems) -> None:
        if config.environment or config.physics != 'system':
            raise ValueError(
                "algorithm 'analytic' needs plants with derivatives: physics 'system', and no "
                'environment'
            )
        self.config, self.problems = config, problems
        self._model = torch_step(problems.system)
        self._gain, self._width = PlanGain(problems.system), widths(problems.system)

    def improve(
        self,
        policy: CorrectionPolicy,
        optimiser: torch.optim.Optimizer,
        controller: Controller,
        iteration: int,
    ) -> dict[str, float]:
        """Flies once and takes one gradient step."""
        scenario = self.problems.drawn(iteration)
        loss, figures = self.loss(policy, controller, scenario)
        optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), self.config.gradient_clip)
        if torch.isfinite(norm):
            optimiser.step()
        return {**figures, 'gradient': float(norm), 'trust': float(policy.trust.detach())}

    def loss(
        self, policy: CorrectionPolicy, controller: Controller, scenario: Scenario
    ) -> tuple[Tensor, dict[str, float]]:
        """The mean compressed cost plus the anchor to the supervised controller, and figures."""
        ticks, last = self._flight(policy, controller, scenario)
        costs = self._costs(ticks, last, torch.from_numpy(scenario.start.goal))
        edge = float(self._width @ self.problems.system.Q @ self._width)
        loss = torch.log1p(costs / edge).sum(0).mean()
        nominal = torch.from_numpy(scenario.nominal)
        away = torch.stack([tick.departure for tick in ticks])[:, nominal]
        if away.numel():
            anchor = 0.5 * torch.square(away / self.config.std).sum(2).mean()
            loss = loss + self.config.anchor * anchor
        flown = costs.detach().sum(0)
        flown = flown if nominal.all() else flown[~nominal]
        return loss, {'return': -float(flown.mean()), 'loss': float(loss.detach())}

    def _costs(self, ticks: list[Tick], last: Tensor, goal: Tensor) -> Tensor:
        """Stage costs, and the terminal one of the last states (T + 1, B)."""
        system = self.problems.system
        costs = [
            stage_cost(system, difference(system, tick.x, goal, TORCH), tick.u) for tick in ticks
        ]
        return torch.stack([*costs, terminal_cost(system, difference(system, last, goal, TORCH))])

    def _flight(
        self, policy: CorrectionPolicy, controller: Controller, scenario: Scenario
    ) -> tuple[list[Tick], Tensor]:
        """The ticks of a scenario, and the states (B, n_x) behind the last of them."""
        # The plants, the planner without its correction, and the correction in PyTorch.
        system, start, fleet = self.problems.system, scenario.start, scenario.plant
        assert isinstance(fleet, Fleet)
        plant = DifferentiableFleet(system, fleet)
        base = Controller(controller.checkpoint.without_correction(), cycles=controller.cycles)
        correction = Correction(system, policy.tensors(), self._model_step, torch)
        half = torch.from_numpy((system.u_max - system.u_min) / 2)
        rng, goal = np.random.default_rng(start.seed), torch.from_numpy(start.goal)
        x, u, plan = torch.from_numpy(start.x0), torch.empty(0), None
        state: CorrectionState | None = None
        ticks: list[Tick] = []
        for _ in range(self.problems.ticks):
            # Measure, and observe as in flight.
            y = x + torch.from_numpy(start.noise_of(system, rng))
            observation = correction.start(y) if state is None else correction.update(state, u, y)
            state = observation.state
            # Plan, and take the first control as a function of the state planned from.
            predicted = correction.predicted_state(observation)
            plan = base.plan_batch(predicted.detach().numpy(), start.goal, plan)
            first, gain = self._linearised(plan, start.goal, predicted)
            # Correct it, and fly.
            observation = correction.with_plan(observation, goal, first)
            moved = torch.einsum('bij,bj->bi', gain, predicted - y)
            departure = (moved + correction.change(observation)) / half
            u = correction.corrected(observation)
            ticks.append(Tick(x, u, departure))
            x = plant.step(x, u)
        return ticks, x

    def _model_step(self, x: Tensor, u: Tensor) -> Tensor:
        p = torch.from_numpy(self.problems.system.p)
        return self._model(x, u, p.expand(len(x), -1))

    def _linearised(self, plan: Plan, goal: Array, x: Tensor) -> tuple[Tensor, Tensor]:
        """The first control of a plan as a function of the state x it was made for; its gain."""
        gain = torch.from_numpy(self._gain(plan, goal))
        value = torch.from_numpy(plan.controls[:, 0].copy())
        return value + torch.einsum('bij,bj->bi', gain, x - x.detach()), gain
