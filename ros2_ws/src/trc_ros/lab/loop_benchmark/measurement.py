"""Measurement of one case: both nodes fly over DDS, and the controller is measured."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trc_core import get_system, provenance
from trc_core.lab.benchmark import environment
from trc_core.numerics.cost import is_close
from trc_core.problem.system import Array, System
from trc_ros.controller.realtime import schedule_others
from trc_ros.lab.loop_benchmark import gil
from trc_ros.lab.loop_benchmark.cases import REALTIME, Case
from trc_ros.lab.loop_benchmark.latency import LatencyRecorder, reaction, spread, transit
from trc_ros.lab.loop_benchmark.process_statistics import (
    MissCount,
    ProcessStatistics,
    unexplained_misses,
)
from trc_ros.lab.loop_benchmark.stalls import MachineStalls
from trc_ros.lab.two_nodes import TwoNodes

ANSWER_TIME = 30.0  # [s] for diagnostics
SETTLING_TIME = 3.0  # [s] for discovery, before the loop is started anew and measured
PATIENCE = 1.6  # horizons that a task may take
GIL_SECONDS = 5.0
SIMULATION_RATE = 500.0  # [Hz] of the plant, at least
DRIFT = 0.997  # states per cycle, by the clock: a state comes at every moment of a cycle in turn
SAMPLES = 240  # readings of memory, at most

Progress = Callable[[float], Any]


@dataclass(frozen=True)
class Settings:
    """Settings of the flight of every case."""

    seconds: float
    fifo: bool
    """Ask for SCHED_FIFO, locked memory and no garbage collection."""
    seed: int


def measure(case: Case, settings: Settings, progress: Progress) -> dict[str, Any]:
    """All figures of a case; `progress` receives the seconds since its last call.

    Raises:
        NodeError: if a node ends early, stays silent or refuses what it is asked for.
    """
    system = get_system(case.system)
    overrides = overrides_of(case, settings.fifo)
    record = functools.partial(LatencyRecorder, system=system)
    stalls = MachineStalls() if settings.fifo else contextlib.nullcontext()
    with (
        TwoNodes(system, overrides['plant'], overrides['controller'], record) as nodes,
        stalls as machine,
    ):
        figures = Bench(case, settings, nodes, machine).run(progress)
    figures['interpreter'] = gil.measure_in_process(case, min(GIL_SECONDS, settings.seconds))
    return figures


class Bench:
    """Measures the controller of both nodes while it flies.

    Args:
        case: to fly.
        settings: of the flight.
        nodes: at work.
        machine: counts how long the machine stands still; None: that stays at 0.
    """

    def __init__(
        self,
        case: Case,
        settings: Settings,
        nodes: TwoNodes[LatencyRecorder],
        machine: MachineStalls | None,
    ) -> None:
        self._case, self._settings = case, settings
        self._system, self._machine = nodes.system, machine
        self._operator, self._recorder = nodes.operator, nodes.recorder
        self._process = ProcessStatistics(nodes.pids['controller'])
        self._counts: list[MissCount] = []
        self._recorder.on_loop = self._count

    def run(self, progress: Progress) -> dict[str, Any]:
        """Lets the nodes settle, then flies and measures."""
        # The loop starts anew: its statistics leave the start of the process out.
        self._operator.spin_for(SETTLING_TIME)
        self._operator.reactivate_controller()
        self._counts.clear()
        self._operator.wait_until(lambda: bool(self._counts), ANSWER_TIME, 'no diagnostics')
        # Counters of the kernel are read before and after the flight.
        before, cpu, stalled = provenance.load(), self._process.cpu_seconds(), self._stalled()
        memory = MemoryWatch(self._process, progress)
        # The children were started before: they do not inherit the scheduling class.
        with on_time(self._settings.fifo) as scheduling:
            self._recorder.is_measuring = True
            seconds, tasks = self._fly(memory)
            self._recorder.is_measuring = False
        return {
            'seconds': seconds,
            'cycle_on': self._case.cycle_on,
            'load before': before,
            'load after': provenance.load(),
            'scheduling': self._process.scheduling(),
            'probe': scheduling,
            'stalled_ms': 1e3 * (self._stalled() - stalled),
            'cpu_share': (self._process.cpu_seconds() - cpu) / seconds,
            'memory_mb': memory.readings,
            'tasks': tasks,
            **self._loop_figures(),
            **self._latency_figures(),
        }

    def _count(self, values: Mapping[str, str]) -> None:
        held_up = self._process.held_up() + self._stalled()
        self._counts.append(MissCount(int(values['deadline_misses']), held_up))

    def _stalled(self) -> float:
        return self._machine.seconds() if self._machine else 0.0

    def _fly(self, progress: Progress) -> tuple[float, dict[str, int]]:
        """Sets task after task; how long that took [s], and how many were set and missed."""
        system, operator = self._system, self._operator
        patience = PATIENCE * system.horizon * system.dt
        count = max(1, int(self._settings.seconds / patience))
        x0, goals = system.sample(np.random.default_rng(self._settings.seed), count)
        missed = 0
        for x, goal in zip(x0, goals, strict=True):
            if np.any(system.goal_box > 0):
                operator.send_goal(goal)
            else:  # there is only one goal
                operator.reset_plant(x)
            operator.spin_for(patience, progress)
            missed += not is_reached(self._system, self._recorder.state(), goal)
        rest = max(0.0, self._settings.seconds - count * patience)
        operator.spin_for(rest, progress)
        return count * patience + rest, {'set': count, 'missed': missed}

    def _loop_figures(self) -> dict[str, Any]:
        loop = {key: float(value) for key, value in self._recorder.loop.items()}
        return {
            'loop': loop,
            'unexplained_misses': unexplained_misses(self._counts, self._case.period),
            'held_up_ms': spread(1e3 * np.diff([count.held_up for count in self._counts])),
        }

    def _latency_figures(self) -> dict[str, Any]:
        times = self._recorder.times
        states, commands = times['state'], times['command']
        return {
            'state_us': spread(transit(states)),
            'command_us': spread(transit(commands)),
            'reaction_us': spread(reaction(states, commands, times['controller/horizon'])),
        }


class MemoryWatch:
    """Progress callback that reads the memory of a process once a second, and passes it on."""

    def __init__(self, process: ProcessStatistics, progress: Progress) -> None:
        self.readings: list[tuple[float, float]] = []
        """(seconds since the beginning, MB), evenly spread however long it takes."""
        self._process, self._progress = process, progress
        self._elapsed, self._next = 0.0, 0.0

    def __call__(self, seconds: float) -> None:
        self._elapsed += seconds
        self._progress(seconds)
        if self._elapsed >= self._next:
            self._next += 1.0
            self.readings.append((round(self._elapsed, 3), round(self._process.resident_mb(), 3)))
        if len(self.readings) > SAMPLES:
            del self.readings[1::2]


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


def is_reached(system: System, x: Array, goal: Array) -> bool:
    """Whether state x (n_x,) is as near to the goal as a plan must end."""
    return bool(is_close(system, x, goal))
