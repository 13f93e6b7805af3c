"""One sweep of the six-joint arm: box-iLQR of this library against Crocoddyl, interleaved.

python benchmarks/arm_sweep.py [--crocoddyl /path/to/python] [--urdf arm.urdf] [--rounds 20]

Without Crocoddyl only this library is timed. Both plan the same problem, RK4 and the bounds of the
torques, from the torques that hold the goal; the arm has no friction, because Crocoddyl knows
none. The Python of Crocoddyl has its packages in an environment of its own: pip install crocoddyl
'pin<4.1' 'libpinocchio<4.1'. With libpinocchio 4.1.0, Crocoddyl 3.2.1 leaves out gravity, so that
a step is compared first. CPU time of the thread; the best of the rounds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import trc_core
from trc_core import System
from trc_core.compile.binding import plant_of
from trc_core.numerics.batch import improve_plans
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.rollout import Trajectory

FEW, MANY = 1, 6  # sweeps, whose difference is timed
ARMATURE = 0.1  # [kg m^2]


def main() -> None:
    """Prints the milliseconds of a sweep of both and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--crocoddyl', help='Python that has Crocoddyl')
    shipped = Path(trc_core.__file__).parent / 'systems' / 'arm.urdf'
    parser.add_argument('--urdf', type=Path, default=shipped)
    parser.add_argument('--solver', default='SolverBoxFDDP')
    parser.add_argument('--rounds', type=int, default=20)
    options = parser.parse_args()
    system = System.from_urdf(
        options.urdf,
        dt=0.02,
        horizon=50,
        substeps=1,
        armature=ARMATURE,
        damping=0.0,
        friction=0.0,
    )
    rng, n = np.random.default_rng(0), system.n_u
    x0 = np.concatenate([rng.uniform(-1.0, 1.0, n), np.zeros(n)])
    goal = np.concatenate([x0[:n] + rng.uniform(-0.5, 0.5, n), np.zeros(n)])
    system = replace(system, u_trim=system.trims(goal))
    free = replace(system, x_min=None, x_max=None)
    contenders = {
        'this library': lambda sweeps: timed(free, x0, goal, sweeps),
        'with its limits of positions and speeds': lambda sweeps: timed(system, x0, goal, sweeps),
    }
    if options.crocoddyl:
        crocoddyl = Crocoddyl(options, free, x0, goal)
        crocoddyl.require_same_step(free, x0, rng.uniform(-5.0, 5.0, n))
        contenders[f'Crocoddyl, {options.solver}'] = crocoddyl.timed
    best = dict.fromkeys(contenders, (np.inf, np.inf))
    for _ in range(options.rounds):
        for name, contender in contenders.items():
            seconds = contender(FEW), contender(MANY)
            best[name] = tuple(np.minimum(best[name], seconds))
    sweep = {name: 1e3 * (many - few) / (MANY - FEW) for name, (few, many) in best.items()}
    reference = [*sweep.values()][-1]  # Crocoddyl's, where it takes part
    for name, milliseconds in sweep.items():
        print(f'{name}: {milliseconds:.3f} ms a sweep, ratio {reference / milliseconds:.1f}')


def timed(system: System, x0: np.ndarray, goal: np.ndarray, sweeps: int) -> float:
    """CPU seconds of some sweeps."""
    T = system.horizon
    plans = Trajectory(np.empty((1, T + 1, system.n_x)), np.tile(system.u_trim, (1, T, 1)))
    plans.x[0, 0] = x0
    plant, r = plant_of(system), constant_reference(goal[None], T)
    began = time.thread_time()
    outcome = improve_plans(plant, r, sweeps, plans)
    seconds = time.thread_time() - began
    if outcome.spent[0] != sweeps:
        raise SystemExit(f'{outcome.spent[0]} sweeps were enough for this problem')
    return seconds


class Crocoddyl:
    """The other program, asked by lines of JSON."""

    def __init__(
        self, options: argparse.Namespace, system: System, x0: np.ndarray, goal: np.ndarray
    ) -> None:
        program = Path(__file__).with_name('crocoddyl_sweep.py')
        self._process = subprocess.Popen(
            [options.crocoddyl, str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={'OMP_NUM_THREADS': '1'},
        )
        task = {
            'urdf': options.urdf.read_text(),
            'armature': [ARMATURE] * system.n_u,
            'dt': system.dt,
            'horizon': system.horizon,
            'effort': system.u_max.tolist(),
            'Q': np.diag(system.Q).tolist(),
            'R': np.diag(system.R).tolist(),
            'Q_f': np.diag(system.Q_f).tolist(),
            'x0': x0.tolist(),
            'goal': goal.tolist(),
            'trim': system.u_trim.tolist(),
            'solver': options.solver,
        }
        self._send(task)

    def require_same_step(self, system: System, x: np.ndarray, u: np.ndarray) -> None:
        """Ends the program where a step of both is not the same."""
        off = np.abs(np.array(self._ask('step', x.tolist(), u.tolist())) - system.step(x, u)).max()
        if off > 1e-9:
            raise SystemExit(f'a step differs by {off:.1e}: is libpinocchio older than 4.1?')

    def timed(self, iterations: int) -> float:
        """CPU seconds of some iterations."""
        seconds, done, _ = self._ask('iterate', iterations)
        if done < iterations - 1:
            raise SystemExit(f'Crocoddyl ended after {done} iterations')
        return float(seconds)

    def _ask(self, *question: object) -> list[float]:
        self._send(list(question))
        return json.loads(self._process.stdout.readline())

    def _send(self, message: object) -> None:
        self._process.stdin.write(json.dumps(message) + '\n')
        self._process.stdin.flush()


if __name__ == '__main__':
    main()
