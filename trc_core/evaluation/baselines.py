"""The experts as baselines: what a controller has to beat, on any system."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from trc_core.evaluation.evaluator import Planner
from trc_core.evaluation.reference import keep
from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array, System
from trc_core.solvers import ilqr, lqr, minimum_energy, multistart, nlp, qp
from trc_core.solvers.library import library_labels

EXPERTS = {
    'lqr': lqr.solve,
    'ilqr': ilqr.solve,
    'multistart': multistart.solve,
    'nlp': nlp.solve,
    'qp': qp.solve,
    'minimum_energy': minimum_energy.solve,
}
STORED_PLANS, STORED_SEED = 5000, 6_000_000


def expert_planners(system: System, names: Iterable[str]) -> dict[str, Planner]:
    """Planners by name: an expert, `ilqr<n>` for n sweeps from the clipped LQR, or `nearest`.

    Raises:
        ValueError: if a name is unknown; the message lists the known ones.
    """
    makers = {name: _maker(name) for name in names}  # a table of plans takes minutes to make
    return {name: make(system) for name, make in makers.items()}


def _maker(name: str) -> Callable[[System], Planner]:
    """What binds a planner to a system."""
    sweeps = re.fullmatch(r'ilqr(\d+)', name)
    if sweeps:
        return partial(partial, ilqr.solve, sweeps=int(sweeps[1]))
    if name == 'nearest':
        return NearestPlan
    if name in EXPERTS:
        return partial(partial, EXPERTS[name])
    raise ValueError(
        f"unknown expert '{name}'; choose from {[*EXPERTS, 'nearest']} or ilqr<sweeps>"
    )


class NearestPlan:
    """Looks the answer up: the nearest stored optimal plan, followed by LQR, then improved.

    Args:
        system: the plant.
        count: stored optima, of states that are drawn from the training boxes.
        seed: of these states.
        sweeps: of box-iLQR on the plan that was found.
    """

    def __init__(
        self, system: System, count: int = STORED_PLANS, seed: int = STORED_SEED, sweeps: int = 100
    ) -> None:
        self.system, self.sweeps = system, sweeps
        kept = keep(system, 'plans', [count, seed], lambda: _optimal_plans(system, count, seed))
        self.states, self.controls, self.cost = (
            kept[name] for name in ('states', 'controls', 'cost')
        )
        width = np.concatenate([system.x0_box, system.goal_box])
        self.scale = 1 / np.where(width > 0, width, 1.0)
        self.points = np.hstack([kept['x0'], kept['goal']]) * self.scale

    def __call__(self, x0: Array, goal: Array) -> Plan:
        """The improved plan."""
        here = np.concatenate([x0, goal]) * self.scale
        n = int(np.square(self.points - here).sum(-1).argmin())
        stored = Plan(self.controls[n], self.states[n], float(self.cost[n]), 'stored')
        return ilqr.solve(self.system, x0, goal, stored, self.sweeps)


def _optimal_plans(system: System, count: int, seed: int) -> dict[str, Array]:
    """x0, goal, states, controls and cost of `count` optima."""
    if multistart.is_needed(system):
        labels = library_labels(system, count, seed)
        names = ('x0', 'goal', 'states', 'controls', 'cost')
        return {name: getattr(labels, name) for name in names}
    x0, goal = system.sample(np.random.default_rng(seed), count)
    plans = ilqr.solve_batch(system, x0, goal)
    found = {'states': plans.states, 'controls': plans.controls, 'cost': np.asarray(plans.cost)}
    return {'x0': x0, 'goal': goal, **found}
