"""The sections about the process: from its start to the first plan, its memory, its leaks."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import numpy as np

from trc_core.lab.benchmark.options import Options
from trc_core.progress import progress_bar

FIRST_PLAN = """
import json, sys, time
began = float(sys.argv[1])
from trc_core import Controller
imported = time.monotonic()
controller = Controller.load(sys.argv[2], backend=sys.argv[3])
controller.plan(controller.system.x0_box / 2, [0.0] * controller.system.n_x)
planned = time.monotonic()
heavy = sorted({'torch', 'casadi', 'sympy', 'matplotlib'} & set(sys.modules))
with open('/proc/self/status') as status:
    peak = next(line.split()[1] for line in status if line.startswith('VmHWM'))
print(json.dumps({
    'import': imported - began,
    'first plan': planned - began,
    'peak MB': int(peak) * 1024 / 1e6,
    'heavy modules': heavy,
}))
"""
SOAK = """
import sys
from trc_core import Controller
from trc_core.lab.benchmark.environment import resident_mb
from trc_core.evaluation.problems import fresh_problems
controller = Controller.load(sys.argv[1], sys.argv[2], num_threads=1)
x0, goal = fresh_problems(controller.system, 1000)
controller.plan(x0[0], goal[0])
print(resident_mb(), flush=True)
for tenth in range(10):
    for i in range(int(sys.argv[3])):
        controller.plan(x0[i % 1000], goal[i % 1000])
    print(resident_mb(), flush=True)
"""
TENTHS = 10


def cold_start(options: Options, results: dict[str, Any]) -> None:
    """Seconds from the start of a process to its first plan, and its memory, by backend.

    The first process may have to compile: it is not counted.
    """
    name = options.systems[0]
    for backend in [b for b in options.backends if b != 'numpy']:
        try:
            _start(name, backend)
            bar = progress_bar(range(options.starts), f'start: {backend}', leave=False)
            samples = [_start(name, backend) for _ in bar]
        except subprocess.CalledProcessError as error:
            lines = error.stderr.strip().splitlines() or ['no message']
            results[backend] = {'absent': lines[-1]}
            continue
        results[backend] = {
            'system': name,
            'count': len(samples),
            'heavy modules': samples[0]['heavy modules'],
            **{
                key: float(np.median([sample[key] for sample in samples]))
                for key in ('import', 'first plan', 'peak MB')
            },
            'slowest': max(sample['first plan'] for sample in samples),
        }


def _start(name: str, backend: str) -> dict[str, Any]:
    """Figures of one process that is started and plans once.

    Raises:
        subprocess.CalledProcessError: if it fails.
    """
    command = [sys.executable, '-c', FIRST_PLAN, repr(time.monotonic()), name, backend]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def soak(options: Options, results: dict[str, Any]) -> None:
    """Resident memory of a fresh process over very many plans, ten readings."""
    if not options.soak:
        return
    name = options.systems[0]
    step = max(1, options.soak // TENTHS)
    command = [sys.executable, '-c', SOAK, name, options.backends[0], str(step)]
    results.update(system=name, plans=0)
    readings: list[float] = results.setdefault('rss_mb', [])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in progress_bar(process.stdout, f'soak: {name}, tenths', TENTHS + 1, leave=False):
            if 'before_mb' in results:
                readings.append(float(line))
                results['plans'] += step
            else:
                results['before_mb'] = float(line)
