"""Interpreter lock: how long planning keeps every other thread from running Python.

One thread plans at the rate of a case, another reads a clock again and again. Python runs one
of them at a time, unless the compiled plan lets go of the interpreter: where the clock is not
read for longer than `GAP` while a plan is made, it could not be. On a loaded machine some of that
time went to other processes; the median over the plans leaves them out.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from trc_core import Controller
from trc_ros.lab.loop_benchmark.cases import Case, parse

GAP = 3e-6  # [s] between two readings of the clock, without another thread
SWITCH = 1e-6  # [s] after which the clock gives way to a plan that waits for the interpreter
SEED = 0


def measure_in_process(case: Case, seconds: float) -> dict[str, float]:
    """`measure` in a process of its own.

    Raises:
        ValueError: if that process fails; with its last line.
    """
    command = [sys.executable, '-m', 'trc_ros.lab.loop_benchmark.gil', str(case), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ['no message']
        raise ValueError(f'the interpreter could not be timed: {lines[-1]}')
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(case: Case, seconds: float) -> dict[str, float]:
    """Medians: share of a cycle in which no other thread runs Python, and time of a plan [us]."""
    ticker = Ticker()
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    try:
        with ticker:
            plans = plan_for(case, seconds)
    finally:
        sys.setswitchinterval(usual)
    blocked = [ticker.blocked(begin, end) for begin, end in plans]
    return {
        'held_share': float(np.median(blocked)) / case.period,
        'plan_us': 1e6 * float(np.median([end - begin for begin, end in plans])),
        'plans': len(plans),
    }


def plan_for(case: Case, seconds: float) -> list[tuple[float, float]]:
    """Flies a perfect plant in closed loop; when each plan began and ended [s]."""
    controller = Controller.load(case.system)
    system, plan, plans = controller.system, None, []
    controller.warm_up()
    (x,), (goal,) = system.sample(np.random.default_rng(SEED), 1)
    deadline = time.perf_counter()
    for _ in range(max(2, round(seconds * case.frequency))):
        deadline += case.period
        time.sleep(max(0.0, deadline - time.perf_counter()))
        begin = time.perf_counter()
        plan = controller.plan(x, goal, warm_start=plan)
        plans.append((begin, time.perf_counter()))
        x = system.step(x, plan.controls[0], case.period)
    return plans[1:]


class Ticker:
    """A thread that reads the clock again and again, within a `with` block."""

    def __init__(self) -> None:
        self._gaps: list[tuple[float, float]] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Ticker:
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stopping = True
        self._thread.join()

    def blocked(self, begin: float, end: float) -> float:
        """Seconds between these times in which the clock was not read."""
        gaps = np.array(self._gaps).reshape(-1, 2)
        first, last = np.searchsorted(gaps[:, 1], begin), np.searchsorted(gaps[:, 0], end)
        inside = np.clip(gaps[first:last], begin, end)
        return float((inside[:, 1] - inside[:, 0]).sum())

    def _tick(self) -> None:
        last = time.perf_counter()
        while not self._stopping:
            now = time.perf_counter()
            if now - last > GAP:
                self._gaps.append((last, now))
            last = now


def main(argv: Sequence[str]) -> None:
    """`python -m trc_ros.lab.loop_benchmark.gil SYSTEM:HZ SECONDS`, the figures as JSON."""
    case, seconds = argv
    print(json.dumps(measure(parse(case), float(seconds))))


if __name__ == '__main__':
    main(sys.argv[1:])
