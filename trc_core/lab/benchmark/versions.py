"""The section about versions: plan times of this checkout beside another one, interleaved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from trc_core.evaluation.problems import fresh_problems
from trc_core.lab.benchmark.interleaved import SHUFFLE_SEED, percentiles
from trc_core.lab.benchmark.options import Options
from trc_core.progress import progress_bar
from trc_core.systems import get_system

HERE = Path(__file__).parents[3]
THIS, OTHER = 'this version', 'other version'
AT_ONCE = 20  # plans that one version makes before the other has its turn
PLANNER = """
import json, sys, time
from trc_core import Controller
controller = Controller.load(sys.argv[1])
controller.warm_up()
print('ready', flush=True)
for line in sys.stdin:
    warm, problems = json.loads(line)
    nanoseconds, costs = [], []
    for x, goal in problems:
        plan = controller.plan(x, goal)  # also brings this version's code back into the caches
        previous, start = (plan, plan.states[1].copy()) if warm else (None, x)
        began = time.perf_counter_ns()
        plan = controller.plan(start, goal, warm_start=previous)
        nanoseconds.append(time.perf_counter_ns() - began)
        costs.append(plan.cost)
    print(json.dumps([nanoseconds, costs]), flush=True)
"""


def beside_another_version(options: Options, results: dict[str, Any]) -> None:
    """Plan times beside another checkout of trc (--against), each in a process of its own."""
    if options.against is None:
        return
    rounds = max(1, options.repetitions // AT_ONCE)
    for name in options.systems:
        versions = {
            THIS: _Version(HERE, name),
            OTHER: _Version(options.against, name),
        }
        try:
            results[name] = _race(versions, name, options.states, rounds)
        finally:
            for version in versions.values():
                version.end()


def _race(
    versions: dict[str, _Version], name: str, states: int, rounds: int
) -> dict[str, dict[str, Any]]:
    """Percentiles of both versions, cold and warm, and the ratio of their medians."""
    x0, goal = (a.tolist() for a in fresh_problems(get_system(name), states))
    rng = np.random.default_rng(SHUFFLE_SEED)
    table: dict[str, dict[str, Any]] = {}
    for task in ('cold', 'warm'):
        times: dict[str, list[int]] = {label: [] for label in versions}
        costs: dict[str, list[float]] = {label: [] for label in versions}
        for _ in progress_bar(range(rounds), f'{name}: {task}', leave=False):
            rows = rng.integers(0, states, AT_ONCE)
            for k in rng.permutation(len(versions)):
                label = list(versions)[k]
                answer = versions[label].plan(task == 'warm', [(x0[i], goal[i]) for i in rows])
                times[label] += answer[0]
                costs[label] += answer[1]
        table[task] = {label: percentiles(values) for label, values in times.items()}
        table[task]['ratio of p50'] = table[task][THIS]['p50'] / table[task][OTHER]['p50']
        a, b = np.array(costs[THIS]), np.array(costs[OTHER])
        table[task]['largest difference of J'] = float(np.max(np.abs(a / b - 1.0)))
    return table


class _Version:
    """A controller of one checkout, in a process that finds that checkout first."""

    def __init__(self, checkout: Path, name: str) -> None:
        paths = [str(checkout), str(checkout / 'ros2_ws' / 'src')]
        self._process = subprocess.Popen(
            [sys.executable, '-c', PLANNER, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=checkout,
            env={**os.environ, 'PYTHONPATH': os.pathsep.join(paths)},
        )
        if self._line() != 'ready':
            raise ValueError(f"no controller '{name}' starts in '{checkout}'")

    def plan(self, warm: bool, problems: list[Any]) -> Any:
        """Nanoseconds and costs of the plans of some problems."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([warm, problems]) + '\n')
        self._process.stdin.flush()
        return json.loads(self._line())

    def end(self) -> None:
        """Ends the process."""
        self._process.terminate()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()
