"""BoxFDDP of Crocoddyl, from an environment of its own, in this process and without Python.

Source: Mastalli et al., A feasibility-driven approach to control-limited DDP (Autonomous Robots
2022). PyPI's Crocoddyl needs another Pinocchio than other packages, so that it is installed where
nothing else is: only its C++ library is loaded here.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from trc_core.lab.benchmark.peers.peer import Peer, timed
from trc_core.lab.benchmark.peers.stage_functions import stage_functions
from trc_core.problem.system import Array, System
from trc_core.solvers.problem import Problem

HOW = (
    "make an environment for it (pip install crocoddyl 'pin<4.1' 'libpinocchio<4.1' cmeel-eigen) "
    'and give --crocoddyl-python PATH, with a C++ compiler at hand'
)
WHERE = "import cmeel, sysconfig; print(sysconfig.get_paths()['purelib'])"
FLAGS = ('-std=c++17', '-O3', '-DNDEBUG', '-fPIC', '-shared')
SOURCE = Path(__file__).with_name('crocoddyl_stage.cpp')
PENALTY = 1e4  # of the square of a violation, in its unit
STOP = 1e-6  # of its criterion, where it may converge


@cache
def library(python: str) -> ctypes.CDLL:
    """Crocoddyl with our stages.

    Raises:
        FileNotFoundError: if that Python has no Crocoddyl, or there is no C++ compiler.
        ValueError: if it cannot be compiled against it, or another Pinocchio is loaded here; one
            line says why.
    """
    if not python:
        raise FileNotFoundError(f'not installed: {HOW}')
    asked = subprocess.run([python, '-c', WHERE], capture_output=True, text=True, check=False)
    prefix = Path(asked.stdout.strip()) / 'cmeel.prefix'
    if not (prefix / 'include' / 'crocoddyl').is_dir():
        raise FileNotFoundError(f"not installed in the environment of '{python}': {HOW}")
    if 'crocoddyl' in sys.modules or 'pinocchio' in sys.modules:
        raise ValueError('another Pinocchio is loaded in this process')
    include, lib = prefix / 'include', prefix / 'lib'
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / 'crocoddyl_stage.so'
        command = ['g++', *FLAGS, f'-I{include}', f'-I{include / "eigen3"}', str(SOURCE)]
        command += ['-o', str(made), f'-L{lib}', '-lcrocoddyl']
        # an RPATH, which the libraries that Crocoddyl itself needs are found by, too
        command.append(f'-Wl,--disable-new-dtags,-rpath,{lib}')
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reasons = [line for line in done.stderr.splitlines() if 'error' in line]
            raise ValueError(f'does not compile: {(reasons or [done.stderr])[0]:.160}; {HOW}')
        loaded = ctypes.CDLL(str(made))
    rows, number, address = ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p
    loaded.make.restype = address
    loaded.make.argtypes = [*[number] * 4, *[address] * 2, *[rows] * 5]
    loaded.solve.restype = number
    loaded.solve.argtypes = [address, rows, rows, number, ctypes.c_double]
    loaded.forget.argtypes = [address]
    return loaded


class Crocoddyl(Peer):
    """BoxFDDP on our compiled step, its slopes and those of our costs.

    It has no constraints but the bounds of the controls: others are penalties.

    Args:
        system: of its problems.
        iterations: the most of a solve.
        python: of the environment that has it.
    """

    def __init__(self, system: System, iterations: int, python: str) -> None:
        super().__init__(system)
        self._library = library(python)
        self.iterations = iterations
        self._functions = stage_functions(system, PENALTY)
        T, n_x, n_u = system.horizon, system.n_x, system.n_u
        self._r = np.zeros((T + 1, n_x))
        self._p = np.zeros(max(len(system.parameters), 1))
        self._trim = np.zeros((T, n_u))
        self._handle = self._library.make(
            *(T, n_x, n_u, len(system.task.constraints)),
            self._functions.value.address,
            self._functions.slopes.address,
            *map(_data, (self._r, self._p, self._trim, system.u_min, system.u_max)),
        )

    def solve(self, problem: Problem, x: Array, u: Array, warm: bool) -> tuple[Array, float]:
        """Controls, and the CPU seconds of the solve alone."""
        self._r[:], self._trim[:] = problem.r, problem.trim
        self._p[: len(problem.p)] = problem.p
        x, u = np.ascontiguousarray(x), np.ascontiguousarray(u)
        x[0] = problem.x0
        _, seconds = timed(
            lambda: self._library.solve(self._handle, _data(x), _data(u), self.iterations, STOP)
        )
        return u, seconds

    def __del__(self) -> None:
        if hasattr(self, '_handle'):
            self._library.forget(self._handle)


def _data(array: Array) -> int:
    """The address of its numbers."""
    return int(array.ctypes.data)
