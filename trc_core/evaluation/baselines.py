"""Baselines: what a controller has to beat on any system."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from functools import partial

import numpy as np

from trc_core.command_line import counted, expected_time
from trc_core.evaluation.evaluator import Planner
from trc_core.evaluation.reference import WORTH_SAYING, keep
from trc_core.numerics.classical import FIRST_SWEEPS
from trc_core.numerics.parallel import cores
from trc_core.numerics.plan import Plan
from trc_core.planner.controller import Controller
from trc_core.problem.system import Array, System
from trc_core.solvers import fatrop, ilqr, multistart
from trc_core.solvers.affine import require_linear
from trc_core.solvers.experts import EXPERTS
from trc_core.solvers.library import library_labels, seconds_of_labels

BASELINES = {
    'lqr': 'clipped LQR',
    'ilqr1': 'LQR + 1 iLQR sweep',
    'ilqr2': 'LQR + 2 iLQR sweeps',
    'ilqr3': 'LQR + 3 iLQR sweeps',
    'ilqr': 'iLQR, converged',
    'multistart': 'iLQR, 12 starts',
    'nearest': 'nearest plan + iLQR',
}
"""Those beside every controller, and how a table calls them."""
CLASSICAL = 'classical'  # the controller without a network, as a baseline
LABELS = {**BASELINES, CLASSICAL: 'classical controller'}
"""What a table calls every baseline that has a name of its own."""
SHORT = ('lqr', 'ilqr3', CLASSICAL, 'multistart')
"""Those of the short table at the end of a training."""
CONSTRAINED = ('lqr', 'ilqr3', 'ilqr', 'multistart', 'nlp', 'fatrop')
"""Those beside a controller whose plant has constraints or ranges."""
LINEAR = ('qp', 'minimum_energy')
SIMPLE = ('nearest', *LINEAR)
ILQR_SWEEPS = re.compile(r'ilqr(\d+)')
STORED_PLANS, STORED_SEED = 5000, 6_000_000
TIMED = 10  # stored plans, by which the time of all is foretold


def default_baselines(system: System) -> tuple[str, ...]:
    """The baselines that stand beside a controller of a system where none are chosen."""
    return CONSTRAINED if system.task.constraints or system.ranges else tuple(BASELINES)


def serving(system: System, names: Iterable[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """The baselines that can serve a system, and the others with the reason; nothing is compiled.

    Raises:
        ValueError: if a name is unknown, or none can.
    """
    names = tuple(names)
    _require_known(names)
    reasons = {name: why for name in names if (why := _why_not(system, name))}
    if len(reasons) == len(set(names)):
        why = '; '.join(f"the expert '{name}' {reason}" for name, reason in reasons.items())
        raise ValueError(f"no planner is left for '{system.name}': {why}")
    return tuple(name for name in names if name not in reasons), reasons


def _require_known(names: Iterable[str]) -> None:
    for name in names:
        known = [*EXPERTS, 'nearest', CLASSICAL]
        if name not in known and not ILQR_SWEEPS.fullmatch(name):
            raise ValueError(f"unknown expert '{name}'; choose from {known} or ilqr<sweeps>")


def _why_not(system: System, name: str) -> str | None:
    """The reason why an expert cannot serve a system; None where it can."""
    if name in SIMPLE and (system.task.constraints or system.ranges):
        return 'knows no constraints or ranges'
    if name in LINEAR:
        try:
            require_linear(system)
        except ValueError as error:
            return f'serves linear plants without residuals, and {str(error).split(";")[0]}'
    if name == 'fatrop' and not fatrop.is_available():
        return 'is not part of the CasADi that is installed'
    return None


def baseline_planners(system: System, names: Iterable[str]) -> dict[str, Planner]:
    """Planners by name: an expert, `ilqr<n>` for n sweeps from the LQR, `nearest`, `classical`.

    Raises:
        ValueError: if a name is unknown, and the message lists the known ones, or if the plant
            is not one that an expert can serve.
    """
    names = tuple(names)
    _require_known(names)  # all of them first: a table of plans takes minutes to make
    for name in names:
        if why := _why_not(system, name):
            raise ValueError(
                f"the expert '{name}' {why}; for '{system.name}' choose from "
                f'{list(CONSTRAINED)} or ilqr<sweeps>'
            )
    return {name: _planner(system, name) for name in names}


def _planner(system: System, name: str) -> Planner:
    if name == 'nearest':
        return NearestPlan(system)
    if name == CLASSICAL:
        return Controller.classical(system).plan
    if sweeps := ILQR_SWEEPS.fullmatch(name):
        return partial(ilqr.solve, system, sweeps=int(sweeps[1]))
    return partial(EXPERTS[name].solve, system)


def planners(
    controller: Controller, cycles: Iterable[int], baselines: Iterable[str] = tuple(BASELINES)
) -> dict[str, Planner]:
    """The baselines, and the controller at each number of cycles K, also polished; by label.

    A controller without a network has no cycles: it stands once beside them. So does one whose
    network only proposes, with more sweeps once again.

    Raises:
        ValueError: if a baseline is unknown; the message lists the known ones.
    """
    known = baseline_planners(controller.system, baselines)
    table = {LABELS.get(name, name): planner for name, planner in known.items()}
    if controller.checkpoint.is_classical:
        return {**table, 'trc, classical': controller.plan}
    if controller.checkpoint.only_proposes:
        own = f'trc, K = {controller.cycles}'
        more = partial(controller.plan, polish=FIRST_SWEEPS)
        return {**table, own: controller.plan, f'{own} + {FIRST_SWEEPS} sweeps': more}
    for K in cycles:
        twin = Controller(controller.checkpoint, controller.backend, cycles=K)
        table[f'trc, K = {K}'] = twin.plan
        table[f'trc, K = {K} + 1 sweep'] = partial(twin.plan, polish=1)
    table[f'trc, K = {controller.cycles} + 5 sweeps'] = partial(controller.plan, polish=5)
    return table


class NearestPlan:
    """Nearest stored optimal plan: looked up, followed by the LQR, then improved by iLQR.

    Args:
        system: the plant.
        count: stored optima, of states that are drawn from the training boxes.
        sweeps: of box-iLQR on the plan that was found.
    """

    def __init__(self, system: System, count: int = STORED_PLANS, sweeps: int = 100) -> None:
        self.system, self.sweeps = system, sweeps
        kept = keep(system, 'plans', [count, STORED_SEED], lambda: _optimal_plans(system, count))
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


def _optimal_plans(system: System, count: int) -> dict[str, Array]:
    """x0, goal, states, controls and cost of `count` optima."""
    _say_how_long(system, count)
    if multistart.is_needed(system):
        labels = library_labels(system, count, STORED_SEED)
        names = ('x0', 'goal', 'states', 'controls', 'cost')
        return {name: getattr(labels, name) for name in names}
    x0, goal = system.sample(np.random.default_rng(STORED_SEED), count)
    plans = ilqr.solve_batch(system, x0, goal)
    found = {'states': plans.states, 'controls': plans.controls, 'cost': np.asarray(plans.cost)}
    return {'x0': x0, 'goal': goal, **found}


def _say_how_long(system: System, count: int) -> None:
    """Says how long optima are going to take, if that is long."""
    at_once = cores() if multistart.is_needed(system) else 1
    if multistart.is_needed(system):
        seconds = seconds_of_labels(system, count, STORED_SEED)
    else:
        x0, goal = system.sample(np.random.default_rng(STORED_SEED), TIMED + 1)
        ilqr.solve_batch(system, x0[:1], goal[:1])  # compiles
        began = time.perf_counter()
        ilqr.solve_batch(system, x0[1:], goal[1:])
        seconds = (time.perf_counter() - began) / TIMED * count
    if seconds >= WORTH_SAYING:
        print(expected_time(seconds, counted(count, 'stored plan'), at_once), flush=True)
