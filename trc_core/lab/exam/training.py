"""`trc train` within a time: a process of its own, which the system interrupts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from trc_core.problem.system import System
from trc_core.solvers.library import library_labels
from trc_core.training.fitting import BEST_MODEL
from trc_core.training.recipes import new_plant

LIMITED = """
import resource, signal, sys
from trc_core.commands.train import main
def interrupt(*_):
    resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    raise KeyboardInterrupt
signal.signal(signal.SIGXCPU, interrupt)
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[1]), resource.RLIM_INFINITY))
main(sys.argv[2:])
"""
"""Runs `trc train` until it has spent so many seconds of CPU time: then Ctrl-C is what it gets."""
STAGE = 'hypotheses'
COUNTED, LEAST = ('labels', 'first_steps', 'joint_steps'), 800
TIMED = 10  # labels
SLOWEST = 8.0  # wall time over CPU time, on a busy machine, after which a run is killed
FOR_LABELS = 0.4  # of the time; the rest is for steps
SEED = 0


def settings(system: System, seconds: float) -> dict[str, int]:
    """Settings of the stage `hypotheses` with which a run ends in about so many CPU seconds.

    They are those of a new plant; where its labels would take longer than a share of the time,
    there are as many fewer, and of the steps too.
    """
    usual = new_plant(system, STAGE)
    share = min(1.0, FOR_LABELS * seconds / (usual['labels'] * _seconds_of_a_label(system)))
    found = {name: max(LEAST, round(share * usual[name])) for name in COUNTED if usual.get(name)}
    steps = sum(n for name, n in found.items() if name != 'labels')
    return {**found, 'validate_every': max(100, steps // 6)}


def _seconds_of_a_label(system: System) -> float:
    """The CPU time of a label [s], from that of a few."""
    library_labels(system, 2, SEED)  # compiles
    began = time.process_time()
    library_labels(system, TIMED, SEED)
    return (time.process_time() - began) / TIMED


def train(path: Path, own: dict[str, int], output: Path, seconds: float) -> tuple[Path, float]:
    """Trains within so many seconds of CPU time, of one core.

    Args:
        path: of the exam.
        own: settings that differ from its own.
        output: folder of the run.
        seconds: of CPU time, after which it is interrupted and keeps its best.

    Returns:
        The checkpoint, and the CPU time [s] that it took.

    Raises:
        ValueError: if there is no checkpoint, with the last line that the run wrote.
    """
    flags = {'system': path, 'stage': STAGE, 'output_dir': output, 'verdict': 'false', **own}
    command = [f'--{name}={value}' for name, value in flags.items()] + ['--logger=none']
    limited = [sys.executable, '-c', LIMITED, str(round(seconds)), *command]
    spent = _run(limited, output, SLOWEST * seconds)
    model = output / BEST_MODEL
    if not model.is_file():
        lines = (output / 'train.log').read_text().strip().splitlines() or ['it wrote nothing']
        raise ValueError(f'no checkpoint: {lines[-1]}')
    return model, spent


def _run(command: Sequence[str], output: Path, longest: float) -> float:
    """Runs a command with its output in a file; returns its CPU time [s].

    Raises:
        subprocess.TimeoutExpired: if it takes longer than that [s], by the clock.
    """
    output.mkdir(parents=True, exist_ok=True)
    before = os.times()
    with (output / 'train.log').open('w') as log:
        environment = {**os.environ, 'LOKY_MAX_CPU_COUNT': '1'}
        subprocess.run(
            command, stdout=log, stderr=log, env=environment, check=False, timeout=longest
        )
    after = os.times()
    return (
        after.children_user
        + after.children_system
        - (before.children_user + before.children_system)
    )
