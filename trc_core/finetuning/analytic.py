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

from trc_core.compile.codegen import rk4, symbolic_dynamics, symbols
from trc_core.finetuning.config import FinetuneConfig
from trc_core.finetuning.policy import CorrectionPolicy, PlanGain
from trc_core.finetuning.problems import Problems, Situation
from trc_core.numerics.plan import Plan
from trc_core.planner.controller import Controller
from trc_core.planner.correction import (
    CREDIBLE,
    DELAYS,
    FEATURE_LIMIT,
    FORGETTING,
    SMOOTHING,
    force_of,
    widths,
)
from trc_core.problem.system import Array, System
from trc_core.simulation.fleet import Draw, Fleet

Step = Callable[[Tensor, Tensor, Tensor], Tensor]


def differentiable_step(system: System) -> Step:
    """`step(x (B, n_x), u (B, n_u), p (B, n_p)) -> (B, n_x)`, one dt."""
    import sympy as sp

    x, u, p = symbols(system)
    f = sp.lambdify([*x, *u, *p], symbolic_dynamics(system), modules=torch, cse=True)

    def step(x: Tensor, u: Tensor, p: Tensor) -> Tensor:
        def derivative(x: Tensor, u: Tensor) -> Tensor:
            terms = f(*x.unbind(-1), *u.unbind(-1), *p.unbind(-1))
            zero = torch.zeros_like(x[..., 0])
            return torch.stack([zero + term for term in terms], dim=-1)

        return rk4(derivative, x, u, system.dt)

    return step


class DifferentiableFleet:
    """`Fleet` in PyTorch: parameters, gain, delay and disturbance, without friction and lag.

    Args:
        system: the model.
        fleet: whose plants, and whose disturbances from here on.

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
        self._fleet, self._step = fleet, differentiable_step(system)
        self._p, self._gain = torch.from_numpy(draw.p), torch.from_numpy(draw.gain)
        self._rows = torch.arange(len(draw.p))
        self._delay = torch.from_numpy(draw.delay[:, 0])

    def step(self, x: Tensor, commands: Tensor) -> Tensor:
        """The states one dt after the newest of commands (D, B, n_u), newest first."""
        acting = commands[self._delay, self._rows]
        push = torch.from_numpy(self._fleet.pushed())
        return self._step(x, self._gain * acting + push, self._p)


@dataclass(frozen=True)
class Remembered:
    """`Memory` of the correction, in PyTorch."""

    x: Tensor
    evidence: Tensor
    mean_push: Tensor


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
        self._model = differentiable_step(problems.system)
        system = problems.system
        self._half = torch.from_numpy((system.u_max - system.u_min) / 2)
        self._trim = torch.from_numpy(system.u_trim)
        self._force = torch.from_numpy(force_of(system))
        self._width = torch.from_numpy(widths(system))
        self._gain = PlanGain(system)

    def improve(
        self,
        policy: CorrectionPolicy,
        optimiser: torch.optim.Optimizer,
        controller: Controller,
        iteration: int,
    ) -> dict[str, float]:
        """Flies once and takes one step."""
        situation = self.problems.drawn(iteration)
        loss, figures = self.loss(policy, controller, situation)
        optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), self.config.gradient_clip)
        if torch.isfinite(norm):
            optimiser.step()
        return {**figures, 'gradient': float(norm), 'trust': float(policy.trust.detach())}

    def loss(
        self, policy: CorrectionPolicy, controller: Controller, situation: Situation
    ) -> tuple[Tensor, dict[str, float]]:
        """Mean compressed cost in units of the edge of the box, and what departs from nominal."""
        system, start = self.problems.system, situation.start
        Q, R, Q_f = (torch.from_numpy(a) for a in (system.Q, system.R, system.Q_f))
        edge = float(widths(system) @ system.Q @ widths(system))
        costs, departures, raw = [], [], torch.zeros(len(start.x0), dtype=torch.float64)
        goal = torch.from_numpy(start.goal)
        for x, u, departure in self._flight(policy, controller, situation):
            error = x - goal
            cost = ((error @ (Q_f if u is None else Q)) * error).sum(1)
            if u is not None:
                cost = cost + (((u - self._trim) @ R) * (u - self._trim)).sum(1)
                departures.append(departure)
            costs.append(torch.log1p(cost / edge))
            raw = raw + cost.detach()
        wrong = torch.from_numpy(~situation.nominal)
        loss = torch.stack(costs).sum(0).mean()
        away = torch.stack(departures)[:, ~wrong]
        if away.numel():
            anchor = 0.5 * torch.square(away / self.config.std).sum(2).mean()
            loss = loss + self.config.anchor * anchor
        flown = raw[wrong] if wrong.any() else raw
        return loss, {'return': -float(flown.mean()), 'loss': float(loss.detach())}

    def _flight(
        self, policy: CorrectionPolicy, controller: Controller, situation: Situation
    ) -> list[tuple[Tensor, Tensor | None, Tensor]]:
        """State, control and departure of every tick; the last state has no control."""
        system, start, fleet = self.problems.system, situation.start, situation.plant
        assert isinstance(fleet, Fleet)
        plant = DifferentiableFleet(system, fleet)
        base = Controller(controller.checkpoint.without_correction(), cycles=controller.cycles)
        rng = np.random.default_rng(start.seed)
        B, x = len(start.x0), torch.from_numpy(start.x0)
        longest = max(DELAYS, int(fleet.draw.delay.max()) + 1)
        commands = self._trim.expand(longest, B, system.n_u)
        memory: Remembered | None = None
        plan: Plan | None = None
        flight: list[tuple[Tensor, Tensor | None, Tensor]] = []
        low, high = torch.from_numpy(system.u_min), torch.from_numpy(system.u_max)
        for _ in range(self.problems.ticks):
            y = x + torch.from_numpy(start.noise_of(system, rng))
            memory, push, ahead = self._observed(memory, y, commands)
            offset = torch.zeros_like(y)
            if plan is not None:
                offset = policy.offset_of(memory.evidence, ahead)
            plan = base.plan_batch((y + offset).detach().numpy(), start.goal, plan)
            first, gain = self._linearised(plan, start.goal, y + offset)
            change = torch.zeros_like(first)
            if flight:
                features = self._features(y - torch.from_numpy(start.goal), first, commands)
                features = torch.cat([features, push, memory.mean_push], 1)
                change = policy.change(features.clamp(-FEATURE_LIMIT, FEATURE_LIMIT)) * self._half
            u = torch.minimum(torch.maximum(first + change, low), high)
            moved = torch.einsum('bij,bj->bi', gain, offset)
            flight.append((x, u, (moved + change) / self._half))
            commands = torch.cat([u[None], commands[:-1]])
            x = plant.step(x, commands)
        return [*flight, (x, None, torch.zeros(0))]

    def _observed(
        self, memory: Remembered | None, y: Tensor, commands: Tensor
    ) -> tuple[Remembered, Tensor, Tensor]:
        """What `Correction.observe` makes of a tick: memory, push and the change ahead."""
        B, n_u = len(y), commands.shape[2]
        p = torch.from_numpy(self.problems.system.arrays.p).expand(B, -1)
        if memory is None:
            nothing = torch.zeros(B, n_u, dtype=torch.float64)
            evidence = torch.zeros(B, DELAYS, dtype=torch.float64)
            ahead = torch.zeros(B, DELAYS, y.shape[1], dtype=torch.float64)
            return Remembered(y, evidence, nothing), nothing, ahead
        felt = torch.stack(
            [(y - self._model(memory.x, commands[d], p)) @ self._force.T for d in range(DELAYS)], 1
        ).clamp(-FEATURE_LIMIT, FEATURE_LIMIT)
        evidence = FORGETTING * memory.evidence + felt.square().sum(-1).clamp(max=CREDIBLE)
        push = felt[torch.arange(B), evidence.argmin(1)]
        mean = SMOOTHING * memory.mean_push + (1 - SMOOTHING) * push
        changes = [torch.zeros_like(y)]
        for d in range(1, DELAYS):
            x = y
            for k in range(d, 0, -1):
                x = self._model(x, commands[k - 1], p)
            changes.append(x - y)
        return Remembered(y, evidence, mean), push, torch.stack(changes, 1)

    def _linearised(self, plan: Plan, goal: Array, x: Tensor) -> tuple[Tensor, Tensor]:
        """The first control of a plan as a function of the state x it was made for; its gain."""
        gain = torch.from_numpy(self._gain(plan, goal))
        value = torch.from_numpy(plan.controls[:, 0].copy())
        return value + torch.einsum('bij,bj->bi', gain, x - x.detach()), gain

    def _features(self, error: Tensor, first: Tensor, commands: Tensor) -> Tensor:
        parts = [error / self._width]
        parts += [(u - self._trim) / self._half for u in (first, commands[0])]
        return torch.cat(parts, 1)
