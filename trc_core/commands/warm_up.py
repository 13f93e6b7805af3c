"""`trc warm-up`: compiles ahead of time, so that no robot waits for a compiler."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from trc_core.checkpoint import find_checkpoint, shipped_checkpoints
from trc_core.command_line import add_checkpoint, add_force, report_errors, spinner
from trc_core.compile import binding
from trc_core.compile.kernels import cache_folder, compiled, is_compiled
from trc_core.flight.adaptation import ParameterEstimator
from trc_core.numerics.batch import improve_rows, roll_out
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.ilqr import batch_improve
from trc_core.numerics.riccati import finite_horizon_gains
from trc_core.numerics.rollout import Trajectory, plain, rollout
from trc_core.planner.controller import Controller
from trc_core.problem.system import System
from trc_core.systems import get_system
from trc_core.systems.flags import add_system, task_of
from trc_core.systems.registry import FILES
from trc_core.systems.robot_task import DEFAULT_TASK, RobotTask

SWEEPS = 20  # of a plant's first plan


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser('trc warm-up', description=main.__doc__)
    add_checkpoint(
        parser,
        ' (default: every shipped controller), or a plant without one, by its file or its '
        f'name: its first plan is the clipped LQR after at most {SWEEPS} sweeps of iLQR',
        many=True,
    )
    add_system(parser, ': the plant of a checkpoint, if it has no name here')
    add_force(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Compiles what checkpoints, or plants without one, need, and times a plan of each.

    A second for each plant that was never compiled here, about a minute for the kernels that all
    plants share; the cache is TRC_CACHE_DIR, or ~/.cache/trc.
    """
    parser = build_parser()
    arguments = parser.parse_args(argv)
    with report_errors(parser.prog):
        task = task_of(arguments)
        own = get_system(arguments.system, **task.words) if arguments.system else None
        print(f'cache: {cache_folder()}')
        for name in arguments.checkpoint or shipped_checkpoints():
            plant = plant_named(name, task)
            if plant is not None:
                print(f'{name}: {ready_plant(plant)}')
            else:
                if own is None:
                    task.require_none(name)
                controller = Controller.load(name, system=own, force=arguments.force)
                print(f'{name}: {ready(controller) * 1e3:.2f} ms a plan')


def plant_named(name: str, task: RobotTask = DEFAULT_TASK) -> System | None:
    """The plant of a name that no checkpoint has; None where one has it.

    Raises:
        FileNotFoundError: if there is neither.
        ValueError: if a file is of no use.
    """
    if name.endswith(FILES):
        return get_system(name, **task.words)
    try:
        find_checkpoint(name)
    except FileNotFoundError:
        with suppress(ValueError):
            return get_system(name)
        raise
    return None


def ready(controller: Controller) -> float:
    """Warms a controller up, showing that it compiles if it does; returns seconds of a plan.

    What it needs to learn in flight is compiled as well.
    """
    if controller.is_compiled:
        return _ready(controller)
    with spinner(f'compiling {controller.system.name} (once)'):
        return _ready(controller)


def _ready(controller: Controller) -> float:
    if controller.adjustable and controller.system.final_time is None:
        able = controller.with_input_gains()
        able.warm_up()
        ParameterEstimator(able.system).warm_up()
    return controller.warm_up()


class FirstPlan(NamedTuple):
    """The figures of a plan that needs no network."""

    cost: float
    lqr_cost: float
    """J of the clipped LQR that it grew from."""
    seconds: float


def ready_plant(system: System) -> str:
    """Compiles a plant, showing that it does; returns a line about that and its first plan.

    Raises:
        ValueError: if there is no plan of finite cost.
    """
    there = all(is_compiled(compiled(kernel)) for kernel in (rollout, batch_improve))
    if there and binding.is_compiled(system):
        return _compiled_plant(system)
    with spinner(f'compiling {system.name} (once)'):
        return _compiled_plant(system)


def _compiled_plant(system: System) -> str:
    began = time.perf_counter()
    binding.plant_of(system)
    code = time.perf_counter() - began
    first_plan(system, sweeps=1)  # compiles the kernels, or loads them
    kernels = time.perf_counter() - began - code
    plan = first_plan(system, SWEEPS)
    return (
        f'machine code in {code:.2f} s, kernels in {kernels:.2f} s; first plan of cost '
        f'{plan.cost:.6g} in {plan.seconds * 1e3:.2f} ms (clipped LQR: {plan.lqr_cost:.6g})'
    )


def first_plan(system: System, sweeps: int) -> FirstPlan:
    """The clipped LQR after some box-iLQR sweeps, from half of x0_box to the middle of goal_box.

    Raises:
        ValueError: if its cost is not finite.
    """
    x0, goal = system.x0_centre + system.x0_box / 2, system.goal_centre
    began = time.perf_counter()
    with np.errstate(all='ignore'):  # what is not finite shows in the cost
        law = plain(finite_horizon_gains(system, goal)[0])
    v, r = np.zeros((system.horizon, system.n_u)), constant_reference(goal[None], system.horizon)
    x, u, lqr_cost = roll_out(system, law, v, x0, r[0])
    cost = float(improve_rows(system, r, sweeps, Trajectory(x[None], u[None])).J[0])
    if not math.isfinite(cost):
        raise ValueError(
            f"'{system.name}': J of the plan from {x0.tolist()} to {goal.tolist()} is {cost}; "
            'check the dynamics between there'
        )
    return FirstPlan(cost, lqr_cost, time.perf_counter() - began)
