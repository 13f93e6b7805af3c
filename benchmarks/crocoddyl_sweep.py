"""Crocoddyl's side of `arm_sweep.py`, which runs it with the Python that has Crocoddyl.

Answers every line on its input, a JSON list, by a line of JSON: ["step", x, u] by the state after
a dt, ["iterate", n] by the CPU seconds and the number of n iterations from the first plan.
"""

from __future__ import annotations

import json
import sys
import time

import crocoddyl
import numpy as np
import pinocchio


def action(state, actuation, task, by_state, by_control, dt):
    """One RK4 step of an arm with quadratic costs e' Q e + w' R w of a time step."""
    costs = crocoddyl.CostModelSum(state)
    terms = {
        'state': (by_state, crocoddyl.ResidualModelState(state, np.array(task['goal']))),
        'control': (by_control, crocoddyl.ResidualModelControl(state, np.array(task['trim']))),
    }
    for name, (weights, residual) in terms.items():
        if weights is not None:  # half of the weighted squares, over a dt
            scale = 2.0 / dt if dt > 0.0 else 2.0
            weighted = crocoddyl.ActivationModelWeightedQuad(scale * np.array(weights))
            costs.addCost(name, crocoddyl.CostModelResidual(state, weighted, residual), 1.0)
    motion = crocoddyl.DifferentialActionModelFreeFwdDynamics(state, actuation, costs)
    step = crocoddyl.IntegratedActionModelRK(motion, crocoddyl.RKType.four, dt)
    step.u_lb, step.u_ub = -np.array(task['effort']), np.array(task['effort'])
    return step


def main() -> None:
    """Answers until its input ends."""
    task = json.loads(sys.stdin.readline())
    model = pinocchio.buildModelFromXML(task['urdf'])
    model.armature = np.array(task['armature'])
    state = crocoddyl.StateMultibody(model)
    actuation = crocoddyl.ActuationModelFull(state)
    running = action(state, actuation, task, task['Q'], task['R'], task['dt'])
    end = action(state, actuation, task, task['Q_f'], None, 0.0)
    x0, T = np.array(task['x0']), task['horizon']
    problem = crocoddyl.ShootingProblem(x0, [running] * T, end)
    problem.nthreads = 1
    for line in sys.stdin:
        what, *values = json.loads(line)
        if what == 'step':
            data = running.createData()
            running.calc(data, *map(np.array, values))
            answer = data.xnext.tolist()
        else:
            solver = getattr(crocoddyl, task['solver'])(problem)
            solver.th_stop = 1e-16
            us = [np.array(task['trim'])] * T
            xs = problem.rollout(us)
            began = time.thread_time()
            solver.solve(xs, us, values[0], True)
            answer = [time.thread_time() - began, solver.iter, solver.cost]
        print(json.dumps(answer), flush=True)


if __name__ == '__main__':
    main()
