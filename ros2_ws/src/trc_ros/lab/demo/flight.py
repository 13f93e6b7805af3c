"""Flies a system for the demo: two processes, three goals or restarts, everything recorded."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from tqdm import tqdm

from trc_core.problem.system import Array
from trc_core.systems import System
from trc_ros.lab.children import Child, node_command
from trc_ros.lab.demo.bag import Bag
from trc_ros.lab.recording import (
    Horizon,
    Recorder,
    Samples,
    read_commands,
    read_horizons,
    read_loop_statistics,
    read_states,
)
from trc_ros.lab.tower import Tower

TASKS = 3  # goals or restarts in a flight
NEEDED = ('state', 'command', 'controller/horizon')  # must be heard before the first task
STARTUP_TIME = 240.0  # [s] the first start on a machine compiles the model
FAREWELL_TIME = 0.2  # [s] for the last messages to arrive


@dataclass(frozen=True)
class Task:
    """What the controller is asked to do for a while; times in seconds since the epoch."""

    name: str
    goal: Array
    start: float
    """When the goal was sent, or the plant said that it had started over."""
    end: float
    """Before anything of the next task was sent."""


@dataclass(frozen=True)
class Flight:
    """All that was recorded of one system; times in seconds since the epoch."""

    system: System
    tasks: tuple[Task, ...]
    states: Samples
    commands: Samples
    horizons: list[Horizon]
    loop: dict[str, float]
    """The controller's own statistics, from /diagnostics."""


def fly_all(systems: Sequence[System], seconds: float, seed: int, bag: Bag | None) -> list[Flight]:
    """Flies one system after the other and shows the progress.

    Raises:
        NodeError: if a node ends early, stays silent or refuses what it is asked for.
    """
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    layout = '{desc:40s} {percentage:3.0f}% |{bar}| {n:.0f} of {total:.0f} s'
    try:
        # disable=None: a bar on a terminal, silence in a log file.
        with tqdm(total=seconds * len(systems), bar_format=layout, disable=None) as bar:
            return [fly(system, seconds, seed, bag, bar) for system in systems]
    finally:
        rclpy.try_shutdown()


def fly(system: System, seconds: float, seed: int, bag: Bag | None, bar: tqdm[Any]) -> Flight:
    """Starts both nodes, sets the tasks, stops the nodes and reads the record."""
    x0, goals = system.sample(np.random.default_rng(seed), TASKS)
    with contextlib.ExitStack() as stack:
        node = Node('demo', namespace=system.name)
        stack.callback(node.destroy_node)
        recorder = Recorder(node, None if bag is None else bag.write)
        # The plant ends last, so that the controller's farewell still finds it.
        children = {
            name: stack.enter_context(Child(node_command(name, system.name, overrides), name))
            for name, overrides in (
                ('plant', {'initial_state': x0[0].tolist()}),
                ('controller', {}),
            )
        }
        tower = Tower(node, children)
        bar.set_description_str(f'{system.name}: starting')
        tower.wait_until(
            lambda: tower.is_connected() and recorder.hears(*NEEDED),
            STARTUP_TIME,
            f'{system.name}: the nodes did not find each other',
        )
        tasks = set_tasks(tower, system, x0, goals, seconds, bar)
        tower.spin_for(FAREWELL_TIME)
    return Flight(
        system,
        tuple(tasks),
        read_states(recorder, system),
        read_commands(recorder, system),
        read_horizons(recorder, system),
        read_loop_statistics(recorder),
    )


def set_tasks(
    tower: Tower, system: System, x0: Array, goals: Array, seconds: float, bar: tqdm[Any]
) -> list[Task]:
    """Sets the tasks one after the other.

    A system with a box of goals gets new goals, another one new initial states.
    """
    moves = bool(np.any(system.goal_box > 0))
    kind = 'goal' if moves else 'restart'
    tasks = []
    for i in range(TASKS):
        name = f'{kind} {i + 1}'
        bar.set_description_str(f'{system.name}: {name} of {TASKS}')
        tower.send_goal(system, goals[i])
        if i == 0 or not moves:
            tower.restart(x0[i])
        start = time.time()
        tower.spin_for(seconds / TASKS, bar.update)
        tasks.append(Task(name, goals[i], start, time.time()))
    return tasks
