"""Figures of plans, J/J* and errors: of a network alone, a controller, the baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trc_core.evaluation.baselines import BASELINES, baseline_planners
from trc_core.evaluation.evaluator import Scores
from trc_core.evaluation.problems import fresh_problems
from trc_core.evaluation.reference import reference_optima, starts_needed
from trc_core.lab.experiments.frame import Figures
from trc_core.models.search import Latents
from trc_core.models.simulation import Dynamics, Iterate, SystemDynamics
from trc_core.models.tiny_recursive_control import TinyRecursiveControl
from trc_core.numerics.cost import is_success
from trc_core.problem.system import Array, System

BESIDE = ('lqr', 'ilqr1', 'ilqr3', 'ilqr')  # the baselines beside every result


@dataclass(frozen=True)
class Problems:
    """States to plan from, and what the optimum costs there."""

    system: System
    x0: Array
    """(N, n_x)."""
    goal: Array
    """(N, n_x)."""
    optimum: Array
    """J* (N,)."""
    unsolved: int = 0
    """States left out because no solver converged."""

    @classmethod
    def fresh(cls, system: System, count: int) -> Problems:
        """States that nobody trains on."""
        x0, goal = fresh_problems(system, count)
        return cls.of(system, x0, goal)

    @classmethod
    def of(cls, system: System, x0: Array, goal: Array) -> Problems:
        """Problems from the given states, as far as their optimum is known."""
        optimum, solved = reference_optima(system, x0, goal, starts_needed(system))
        return cls(system, x0[solved], goal[solved], optimum[solved], int((~solved).sum()))

    @property
    def tensors(self) -> tuple[Tensor, Tensor]:
        """x0 and goal, float64."""
        return torch.from_numpy(self.x0), torch.from_numpy(self.goal)

    def judge(self, states: Array, cost: Array) -> Figures:
        """Figures of plans with these states (N, T + 1, n_x) and J (N,)."""
        scores = Scores.of(cost / self.optimum, is_success(self.system, states, self.goal))
        return {
            'mean': scores.mean,
            'median': scores.median,
            'p95': scores.p95,
            'max': scores.worst,
            'success': scores.success,
            'wrong': scores.wrong,
            'error': float(np.abs(states[:, -1] - self.goal).sum(-1).mean()),
        }

    def judge_iterate(self, plans: Iterate) -> Figures:
        """Figures of plans in PyTorch."""
        assert plans.states is not None and plans.cost is not None
        return self.judge(plans.states.numpy(), plans.cost.numpy())

    def baselines(self) -> dict[str, Figures]:
        """Figures of the clipped LQR, and of iLQR from it, by label."""
        found = {}
        for name, planner in baseline_planners(self.system, BESIDE).items():
            plans = [planner(x0, goal) for x0, goal in zip(self.x0, self.goal, strict=True)]
            states = np.stack([plan.states for plan in plans])
            found[BASELINES[name]] = self.judge(states, np.array([plan.cost for plan in plans]))
        return found


Cut = Callable[[int], bool]
States = tuple[Tensor, Tensor]


def never(cycle: int) -> bool:
    """Gradients pass through every cycle."""
    return False


def alone(
    model: TinyRecursiveControl,
    dynamics: Dynamics,
    states: States,
    cycles: int,
    cut: Cut = never,
) -> Iterator[tuple[Iterate, Latents]]:
    """The network without its safety net: no LQR plan to start from, and every step is taken.

    Args:
        model: the network.
        dynamics: of the plant.
        states: x0 and goal, each (B, n_x).
        cycles: refinement cycles.
        cut: whether gradients stop before a cycle (0 is the first).

    Yields:
        The network's own first plan, and that of every cycle, with the latents.
    """
    # the network's own first plan
    x0, goal = states
    problem = model.problem(x0, goal, dynamics=dynamics)
    latents = model.initial_latents(problem)
    plan = dynamics.simulate(model.first_plans(problem, latents)[0], x0, goal)
    yield plan, latents
    # every step as proposed
    for cycle in range(cycles):
        if cut(cycle):
            plan = plan._replace(v=plan.v.detach())
            latents = tuple(z.detach() for z in latents)
        step, latents = model.propose(problem, plan, latents)
        plan = dynamics.simulate(plan.v + step, x0, goal)
        yield plan, latents


def judge_alone(model: TinyRecursiveControl, problems: Problems, cycles: int) -> list[Figures]:
    """Figures of the network alone, of its first plan and of every cycle."""
    with torch.no_grad():
        dynamics = SystemDynamics(model.representation, problems.system)
        history = alone(model, dynamics, problems.tensors, cycles)
        return [problems.judge_iterate(plan) for plan, _ in history]


def judge_guarded(
    model: TinyRecursiveControl,
    problems: Problems,
    cycles: int,
    time_remaining: Tensor | None = None,
) -> list[Figures]:
    """Figures of the model as it is delivered: LQR among the starts, no step that raises J."""
    with torch.no_grad():
        dynamics = SystemDynamics(model.representation, problems.system)
        x0, goal = problems.tensors
        history = model.refine(x0, goal, dynamics, time_remaining, cycles)
        return [problems.judge_iterate(plan) for plan, _ in history]
