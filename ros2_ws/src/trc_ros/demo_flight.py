"""Flies a system for the demo: two processes, three goals or restarts, everything recorded."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from tqdm import tqdm

from trc_core.systems import System
from trc_core.systems.base import Array
from trc_ros.conversions import JointStateWriter
from trc_ros.demo import DemoError
from trc_ros.demo_process import Child, node_command
from trc_ros.demo_recording import (
    Bag,
    Horizon,
    Recorder,
    Samples,
    read_commands,
    read_horizons,
    read_loop_statistics,
    read_states,
)

TASKS = 3  # goals or restarts in a flight
NEEDED = ('state', 'command', 'controller/horizon')  # must be heard before the first task
STARTUP_TIME = 120.0  # [s] the first start on a machine compiles the model
ANSWER_TIME = 5.0  # [s] for a service
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
        DemoError: if a node ends early, stays silent or refuses what it is asked for.
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
        recorder = Recorder(node, bag)
        # The plant ends last, so that the controller's farewell still finds it.
        children = [
            stack.enter_context(Child(node_command(name, system.name, overrides), name))
            for name, overrides in (
                ('plant', {'initial_state': x0[0].tolist()}),
                ('controller', {}),
            )
        ]
        tower = Tower(node, children, bar)
        bar.set_description_str(f'{system.name}: starting')
        tower.wait_until(
            lambda: tower.is_connected() and recorder.hears(*NEEDED),
            STARTUP_TIME,
            f'{system.name}: the nodes did not find each other',
        )
        tasks = set_tasks(tower, system, x0, goals, seconds)
        tower.spin_for(FAREWELL_TIME)
    return Flight(
        system,
        tuple(tasks),
        read_states(recorder, system),
        read_commands(recorder),
        read_horizons(recorder, system),
        read_loop_statistics(recorder),
    )


class Tower:
    """Talks to both nodes and notices when one of them ends."""

    def __init__(self, node: Node, children: Sequence[Child], bar: tqdm[Any]) -> None:
        self.bar = bar
        self._children = children
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._goal = node.create_publisher(JointState, 'goal', 1)
        self._reset = node.create_client(Trigger, 'plant/reset')
        self._plant = AsyncParameterClient(node, 'plant')
        self._clock = node.get_clock()

    def is_connected(self) -> bool:
        """Whether goals and requests will arrive."""
        # The recorder of this process listens to goals as well.
        heard = self._goal.get_subscription_count() >= 2
        return heard and self._reset.service_is_ready() and self._plant.services_are_ready()

    def send_goal(self, system: System, goal: Array) -> None:
        """Publishes a goal (n_x,)."""
        self._goal.publish(JointStateWriter(system)(goal, self._clock.now().to_msg()))

    def restart(self, x: Array) -> None:
        """Puts the plant into state x (n_x,).

        Raises:
            DemoError: if it refuses.
        """
        change = Parameter('initial_state', value=x.tolist())
        result = self._answer(self._plant.set_parameters([change])).results[0]
        if not result.successful:
            raise DemoError(f'the plant refused initial_state: {result.reason}')
        answer = self._answer(self._reset.call_async(Trigger.Request()))
        if not answer.success:
            raise DemoError(f'the plant refused to start over: {answer.message}')

    def wait_until(self, condition: Callable[[], bool], seconds: float, complaint: str) -> None:
        """Works until the condition holds.

        Raises:
            DemoError: with the complaint, if it does not hold in time.
        """
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise DemoError(f'{complaint} within {seconds:g} s')
            self._spin_once(0.1)

    def spin_for(self, seconds: float, visible: bool = False) -> None:
        """Works for a while; moves the progress bar if `visible`."""
        start = now = time.monotonic()
        while now < start + seconds:
            self._spin_once(min(0.1, start + seconds - now))
            previous, now = now, time.monotonic()
            if visible:
                self.bar.update(min(now, start + seconds) - previous)

    def _answer(self, future: Any) -> Any:
        self.wait_until(future.done, ANSWER_TIME, 'no answer from the plant')
        return future.result()

    def _spin_once(self, timeout: float) -> None:
        for child in self._children:
            child.check()
        self._executor.spin_once(timeout_sec=max(timeout, 0.0))


def set_tasks(tower: Tower, system: System, x0: Array, goals: Array, seconds: float) -> list[Task]:
    """Sets the tasks one after the other.

    A system with a box of goals gets new goals, another one new initial states.
    """
    moves = bool(np.any(system.goal_box > 0))
    kind = 'goal' if moves else 'restart'
    tasks = []
    for i in range(TASKS):
        name = f'{kind} {i + 1}'
        tower.bar.set_description_str(f'{system.name}: {name} of {TASKS}')
        tower.send_goal(system, goals[i])
        if i == 0 or not moves:
            tower.restart(x0[i])
        start = time.time()
        tower.spin_for(seconds / TASKS, visible=True)
        tasks.append(Task(name, goals[i], start, time.time()))
    return tasks
