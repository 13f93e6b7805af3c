"""Measurement of a fleet over DDS, and of its planning alone."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from trc_core import Controller, get_system, provenance
from trc_ros.lab.children import Child, NodeError, node_command
from trc_ros.lab.fleet_benchmark.robots import Robots
from trc_ros.lab.loop_benchmark.process_statistics import ProcessStatistics

START_TIME = 180.0  # [s] the first start ever compiles the kernels
WARM_UP = 3.0  # [s] of flight that is not measured: discovery, and the first plans
STALE = 10.0  # periods after which a state is too old
ROUNDS = 30


def over_dds(name: str, count: int, rate: float, seconds: float, seed: int) -> dict[str, Any]:
    """Figures of one process that flies so many robots, which another one simulates.

    Raises:
        NodeError: if the fleet ends early or stays silent.
    """
    names = [f'r{i}' for i in range(1, count + 1)]
    overrides = {
        'robots': f'[{", ".join(names)}]',
        'controller_frequency': rate,
        'state_timeout': STALE / rate,
        'diagnostics.period': 1.0,
    }
    robots = Robots(get_system(name), names, 1.0 / rate, seed)
    try:
        with Child(node_command('fleet', name, overrides), 'the fleet') as fleet:
            deadline = time.monotonic() + START_TIME
            while not robots.connected():
                fleet.check()
                if time.monotonic() > deadline:
                    raise NodeError(f'the fleet does not listen after {START_TIME:g} s')
                time.sleep(0.1)
            robots.fly(WARM_UP)
            process, before = ProcessStatistics(fleet.pid), provenance.load()
            first, cpu, began = robots.diagnostics(), process.cpu_seconds(), time.monotonic()
            robots.fly(seconds)
            cpu, elapsed = process.cpu_seconds() - cpu, time.monotonic() - began
            last = robots.diagnostics()
            fleet.check()
            figures = _figures(first, last, names)
            return {
                **figures,
                'cpu_share': cpu / elapsed,
                'memory_mb': process.resident_mb(),
                'late_states': robots.late,
                'load': f'{before}; {provenance.load()}',
            }
    finally:
        robots.close()


def _figures(
    first: dict[str, dict[str, str]], last: dict[str, dict[str, str]], names: list[str]
) -> dict[str, Any]:
    """The fleet's own figures, over the time between two diagnostics where they count.

    Raises:
        NodeError: if there are none.
    """
    if 'control_loop' not in first or 'control_loop' not in last:
        raise NodeError('the fleet publishes no diagnostics')

    def grown(status: str, key: str) -> int:
        return int(last[status][key]) - int(first[status][key])

    loop = last['control_loop']
    names_of = ('cycle', 'cycle_cpu', 'plan_time')
    keys = [f'{name}_{p}_us' for name in names_of for p in ('p50', 'p99')]
    return {
        'rate_hz': float(loop['achieved_rate_hz']),
        'cycles': grown('control_loop', 'cycles'),
        'skipped_cycles': grown('control_loop', 'skipped_cycles'),
        **{key: float(loop[key]) for key in keys},
        'commands': sum(grown(name, 'commands_published') for name in names),
        'active': sum(last[name].get('state') == 'active' for name in names),
        'fallbacks': sum(grown(name, 'entered_fallback') for name in names),
    }


def planning(name: str, count: int) -> dict[str, float]:
    """Milliseconds of CPU of a cycle's plans: in a batch, and one by one; medians, by turns."""
    controller = Controller.load(name, num_threads=1)
    controller.warm_up()
    system, rng = controller.system, np.random.default_rng(0)
    x = np.array([system.sample(rng, 1)[0][0] for _ in range(count)])
    goals = np.tile(system.goal_centre, (count, 1))
    plans = controller.plan_batch(x, goals)
    own = [controller.plan(*row) for row in zip(x, goals, strict=True)]
    elapsed = 0.02 + 0.005 * rng.uniform(size=count)
    together, alone = [], []
    for _ in range(ROUNDS):
        began = time.thread_time()
        controller.plan_batch(x, goals, warm_start=plans, elapsed=elapsed)
        together.append(time.thread_time() - began)
        began = time.thread_time()
        for i in range(count):
            controller.plan(x[i], goals[i], warm_start=own[i], elapsed=float(elapsed[i]))
        alone.append(time.thread_time() - began)
    batch, loop = statistics.median(together), statistics.median(alone)
    return {'batch_ms': 1e3 * batch, 'loop_ms': 1e3 * loop}
