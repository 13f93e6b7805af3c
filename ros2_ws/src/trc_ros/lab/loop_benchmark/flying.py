"""Flies one case with real nodes over real DDS, and measures the controller meanwhile."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from trc_core import get_system, provenance
from trc_core.lab.benchmark import environment
from trc_core.problem.system import SUCCESS_TOLERANCE, Array
from trc_core.systems import System
from trc_ros.controller.realtime import schedule_others
from trc_ros.lab.children import Child, NodeError, node_command
from trc_ros.lab.loop_benchmark import gil
from trc_ros.lab.loop_benchmark.cases import REALTIME, Case
from trc_ros.lab.loop_benchmark.listening import Listener, reaction, spread, transit
from trc_ros.lab.loop_benchmark.stalls import MachineStalls
from trc_ros.lab.loop_benchmark.watched import Moment, Watched, unexplained_misses
from trc_ros.lab.tower import Tower

STARTUP_TIME = 120.0  # [s] the first start on a machine compiles the model
ANSWER_TIME = 30.0  # [s] for a transition
SETTLING_TIME = 3.0  # [s] for discovery, before the loop is started anew and measured
PATIENCE = 1.6  # horizons that a task may take
GIL_SECONDS = 5.0
SIMULATION_RATE = 500.0  # [Hz] of the plant, at least
DRIFT = 0.997  # states per cycle, by the clock: a state comes at every moment of a cycle in turn
SAMPLES = 240  # readings of memory, at most

Progress = Callable[[float], Any]


@dataclass(frozen=True)
class Settings:
    """How every case is flown."""

    seconds: float
    fifo: bool
    """Ask for SCHED_FIFO, locked memory and no garbage collection."""
    seed: int


def measure(case: Case, settings: Settings, progress: Progress) -> dict[str, Any]:
    """All figures of a case; `progress` is told how many seconds have passed since it was.

    Raises:
        NodeError: if a node ends early, stays silent or refuses what it is asked for.
    """
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        with contextlib.ExitStack() as stack:
            figures = Bench(case, settings, stack).run(progress)
    finally:
        rclpy.try_shutdown()
    figures['interpreter'] = gil.measured(case, min(GIL_SECONDS, settings.seconds))
    return figures


class Bench:
    """Both nodes, the far end of their topics and the kernel's view of the controller.

    Args:
        case: what to fly.
        settings: how.
        stack: closes everything.
    """

    def __init__(self, case: Case, settings: Settings, stack: contextlib.ExitStack) -> None:
        self._case, self._settings = case, settings
        self._system = get_system(case.system)
        self._node = Node('loop_benchmark', namespace=case.system)
        stack.callback(self._node.destroy_node)
        # The plant ends last, so that the controller's farewell still finds it.
        children = {
            name: stack.enter_context(Child(node_command(name, case.system, overrides), name))
            for name, overrides in overrides_of(case, settings.fifo).items()
        }
        self._watched = Watched(children['controller'].pid)
        self._stalls = stack.enter_context(MachineStalls()) if settings.fifo else None
        self._moments: list[Moment] = []
        self._listener = Listener(self._node, self._system, self._note)
        self._tower = Tower(self._node, children)
        stack.callback(self._tower.close)

    def run(self, progress: Progress) -> dict[str, Any]:
        """Waits for the nodes, then flies and measures."""
        listener, tower, name = self._listener, self._tower, self._case.system
        tower.wait_until(
            lambda: tower.is_connected() and listener.is_flying(),
            STARTUP_TIME,
            f'{name}: the nodes did not find each other',
        )
        tower.spin_for(SETTLING_TIME)
        self._begin_anew()
        before, cpu, memory = provenance.load(), self._watched.cpu_seconds(), Memory()
        stalled = self._stalled()
        # The children were started before: they do not inherit the scheduling class.
        with on_time(self._settings.fifo) as scheduling:
            listener.keeps = True
            seconds, tasks = self._fly(Watch(self._watched, memory, progress))
            listener.keeps = False
        return {
            'seconds': seconds,
            'cycle_on': self._case.cycle_on,
            'load before': before,
            'load after': provenance.load(),
            'scheduling': self._watched.scheduling(),
            'probe': scheduling,
            'stalled_ms': 1e3 * (self._stalled() - stalled),
            'cpu_share': (self._watched.cpu_seconds() - cpu) / seconds,
            'memory_mb': memory.readings,
            'tasks': tasks,
            **self._loop_figures(),
            **self._latency_figures(),
        }

    def _begin_anew(self) -> None:
        """Stops and starts the loop: its statistics leave the start of the process out."""
        client = self._node.create_client(ChangeState, 'controller/change_state')
        for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
            request = ChangeState.Request(transition=Transition(id=transition))
            future = client.call_async(request)
            self._tower.wait_until(future.done, ANSWER_TIME, 'no answer from the controller')
            if not future.result().success:
                raise NodeError(f'the controller refused the transition {transition}')
        self._moments.clear()
        self._tower.wait_until(lambda: bool(self._moments), ANSWER_TIME, 'no diagnostics')

    def _note(self, values: Mapping[str, str]) -> None:
        held_up = self._watched.held_up() + self._stalled()
        self._moments.append(Moment(int(values['deadline_misses']), held_up))

    def _stalled(self) -> float:
        return self._stalls.seconds() if self._stalls else 0.0

    def _fly(self, progress: Progress) -> tuple[float, dict[str, int]]:
        """Sets task after task; how long that took [s], and how many were set and missed."""
        system, tower = self._system, self._tower
        patience = PATIENCE * system.horizon * system.dt
        count = max(1, int(self._settings.seconds / patience))
        x0, goals = system.sample(np.random.default_rng(self._settings.seed), count)
        missed = 0
        for x, goal in zip(x0, goals, strict=True):
            begin(tower, system, x, goal)
            tower.spin_for(patience, progress)
            missed += not is_reached(self._listener.state(), goal)
        rest = max(0.0, self._settings.seconds - count * patience)
        tower.spin_for(rest, progress)
        return count * patience + rest, {'set': count, 'missed': missed}

    def _loop_figures(self) -> dict[str, Any]:
        loop = {key: float(value) for key, value in self._listener.loop.items()}
        return {
            'loop': loop,
            'unexplained_misses': unexplained_misses(self._moments, self._case.period),
            'held_up_ms': spread(1e3 * np.diff([moment.held_up for moment in self._moments])),
        }

    def _latency_figures(self) -> dict[str, Any]:
        heard = self._listener
        return {
            'state_us': spread(transit(heard.states)),
            'command_us': spread(transit(heard.commands)),
            'reaction_us': spread(reaction(heard.states, heard.commands, heard.horizons)),
        }


class Memory:
    """Readings of resident memory, evenly spread however long it takes."""

    def __init__(self) -> None:
        self.readings: list[tuple[float, float]] = []
        """(seconds since the beginning, MB)."""

    def add(self, elapsed: float, megabytes: float) -> None:
        """Appends a reading; with too many of them, every second one goes."""
        self.readings.append((round(elapsed, 3), round(megabytes, 3)))
        if len(self.readings) > SAMPLES:
            del self.readings[1::2]


class Watch:
    """Told of time passing: reads the memory of a process once a second, and tells others."""

    def __init__(self, watched: Watched, memory: Memory, progress: Progress) -> None:
        self._watched, self._memory, self._progress = watched, memory, progress
        self._elapsed, self._next = 0.0, 0.0

    def __call__(self, seconds: float) -> None:
        self._elapsed += seconds
        self._progress(seconds)
        if self._elapsed >= self._next:
            self._memory.add(self._elapsed, self._watched.resident_mb())
            self._next += 1.0


@contextlib.contextmanager
def on_time(fifo: bool) -> Iterator[str]:
    """Raises this process, the threads that receive included, as the controller raises itself.

    Yields:
        The scheduling class, and why it is not another.
    """
    with environment.placed(None, fifo) as placement:
        if os.sched_getscheduler(0) == os.SCHED_FIFO:
            schedule_others(os.SCHED_FIFO, environment.FIFO_PRIORITY)
        try:
            yield placement['scheduling']
        finally:
            schedule_others(os.SCHED_OTHER, 0)


def overrides_of(case: Case, fifo: bool) -> dict[str, dict[str, Any]]:
    """The parameters of both nodes that differ from those of the shipped file, plant first."""
    drift = DRIFT if case.cycle_on == 'clock' else 1.0
    plant = {
        'state_rate': drift * case.frequency,
        'simulation_rate': max(case.frequency, SIMULATION_RATE),
        'seed': 1,
    }
    controller = {
        'controller_frequency': case.frequency,
        'cycle_on': case.cycle_on,
        **(REALTIME if fifo else {}),
    }
    return {'plant': plant, 'controller': controller}


def begin(tower: Tower, system: System, x: Array, goal: Array) -> None:
    """Sets a task: a goal (n_x,); where there is only one goal, the plant starts over from x."""
    if np.any(system.goal_box > 0):
        tower.send_goal(system, goal)
    else:
        tower.restart(x)


def is_reached(x: Array, goal: Array) -> bool:
    """Whether state x (n_x,) is as near to the goal as a plan must end."""
    return bool(np.abs(x - goal).sum() <= SUCCESS_TOLERANCE)
