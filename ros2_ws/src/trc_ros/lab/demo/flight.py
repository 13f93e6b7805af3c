"""Flies a system for the demo: two processes, three goals or restarts, everything recorded."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trc_core.flight.obstacles import Obstacle
from trc_core.problem.system import Array
from trc_core.progress import progress_bar
from trc_core.systems import System
from trc_ros.lab.bag import Bag
from trc_ros.lab.demo.demonstrated import Demonstrated
from trc_ros.lab.demo.drawn import Drawn, draw_tasks
from trc_ros.lab.operator import Operator
from trc_ros.lab.recording import (
    Horizon,
    Recorder,
    Samples,
    read_commands,
    read_horizons,
    read_loop_statistics,
    read_states,
)
from trc_ros.lab.two_nodes import DELIVERY_TIME, TwoNodes

TASKS = 3  # goals or restarts in a flight
SIGHTS = 0.1  # [s] between two messages about obstacles


@dataclass(frozen=True)
class Task:
    """Task of the controller for a while; times in seconds since the epoch."""

    name: str
    goal: Array
    start: float
    """When the goal was sent, or the plant said that it had started over."""
    end: float
    """Before anything of the next task was sent."""
    obstacles: tuple[Obstacle, ...] = ()
    """As they were published."""


@dataclass(frozen=True)
class Flight:
    """Recording of one system; times in seconds since the epoch."""

    system: System
    tasks: tuple[Task, ...]
    states: Samples
    commands: Samples
    horizons: list[Horizon]
    loop: dict[str, float]
    """The controller's own statistics, from /diagnostics."""


def fly_all(
    plants: Sequence[Demonstrated], seconds: Sequence[float], seed: int, bag: Bag | None
) -> list[Flight]:
    """Flies one system after the other, each for its seconds, and shows the progress.

    Raises:
        NodeError: if a node ends early, stays silent or refuses what it is asked for.
    """
    layout = '{desc:40s} {percentage:3.0f}% |{bar}| {n:.0f} of {total:.0f} s'
    with progress_bar(total=sum(seconds), layout=layout) as bar:
        rows = zip(plants, seconds, strict=True)
        return [fly(plant, lasting, seed, bag, bar) for plant, lasting in rows]


def fly(flown: Demonstrated, seconds: float, seed: int, bag: Bag | None, bar: Any) -> Flight:
    """Starts both nodes, sets the tasks, stops the nodes and reads the record."""
    system, drawn = flown.system, draw_tasks(flown.system, TASKS, seed)
    plant = {**flown.named, 'initial_state': drawn[0].x0.tolist()}
    controller = {**flown.named, **flown.planned}
    if flown.named:
        # Without a goal nothing is planned for a plant that cannot stay where it begins.
        controller['initial_goal'] = drawn[0].goal.tolist()
    if system.obstacles:
        plant['parameters_type'] = controller['parameters_type'] = 'MarkerArray'
    record = functools.partial(Recorder, keep=None if bag is None else bag.write)
    bar.set_description_str(f'{system.name}: starting')
    with TwoNodes(system, plant, controller, record) as nodes:
        tasks = set_tasks(nodes.operator, system, drawn, seconds, bar)
        nodes.operator.spin_for(DELIVERY_TIME)
    recorder = nodes.recorder
    return Flight(
        system,
        tuple(tasks),
        read_states(recorder, system),
        read_commands(recorder, system),
        read_horizons(recorder, system),
        read_loop_statistics(recorder),
    )


def set_tasks(
    operator: Operator, system: System, drawn: Sequence[Drawn], seconds: float, bar: Any
) -> list[Task]:
    """Sets the tasks one after the other.

    A system with a box of goals gets new goals, another one new initial states, and one with
    obstacles both.
    """
    moves = bool(np.any(system.goal_box > 0)) and not system.obstacles
    kind = 'goal' if moves else 'restart'
    tasks = []
    for i, one in enumerate(drawn):
        name = f'{kind} {i + 1}'
        bar.set_description_str(f'{system.name}: {name} of {len(drawn)}')
        obstacles = tuple(replace(o, time=time.time()) for o in one.obstacles)
        show = functools.partial(operator.show_obstacles, obstacles, i * len(system.obstacles))
        if obstacles:
            show(anew=True)
        operator.send_goal(one.goal)
        if i == 0 or not moves:
            operator.reset_plant(one.x0)
        start, end = time.time(), time.time() + seconds / len(drawn)
        while (left := end - time.time()) > 0.0:
            if obstacles:
                show(anew=False)
            operator.spin_for(min(left, SIGHTS) if obstacles else left, bar.update)
        tasks.append(Task(name, one.goal, start, time.time(), obstacles))
    return tasks
