"""Two tanks, one above the other: a model that is a `casadi.Function` already, in discrete time.

Such functions are what users of do-mpc, acados and plain CasADi have. This one gives the levels
after a minute; for one that gives their time derivative, leave out `discrete`.
Run: python casadi_tanks.py
"""

import casadi as ca
import numpy as np

from trc_core import Controller, System

MINUTE, AREA = 60.0, 1.2  # [s], [m^2]

x, u, p = ca.MX.sym('x', 2), ca.MX.sym('u'), ca.MX.sym('p', 2)
outflow = p * ca.sqrt(x)  # [m^3/s], by Torricelli's law
inflow = ca.vertcat(u, outflow[0])
step = ca.Function(
    'tanks', [x, u, p], [x + MINUTE / AREA * (inflow - outflow)], ['x', 'u', 'p'], ['x_next']
)

tanks = System.from_casadi(
    step,
    discrete=True,
    parameters={'upper_outlet': 0.004, 'lower_outlet': 0.003},  # [m^2.5/s], in the order of p
    state_names=('upper', 'lower'),
    state_units=('m', 'm'),
    control_names=('pump',),
    control_units=('m^3/s',),
    dt=MINUTE,
    horizon=30,
    u_min=[0.0],
    u_max=[0.005],
    u_trim='equilibrium',
    Q=[0.1, 1.0],
    R=[1e3],
    x_min=[0.05, 0.05],
    x_max=[1.2, 1.5],
    x0_box=[[0.1, 0.1], [1.0, 1.4]],
    goal_box=[[0.45, 0.8], [0.45, 0.8]],
)

if __name__ == '__main__':
    controller, plan, levels = Controller.classical(tanks), None, np.array([0.2, 0.3])
    goal = np.array([0.45, 0.8])  # 0.004 sqrt(0.45) = 0.003 sqrt(0.8): both stay
    for _ in range(60):
        plan = controller.plan(levels, goal, warm_start=plan)
        levels = tanks.step(levels, plan.controls[0])
    print(f'after an hour: {levels[0]:.3f} m above, {levels[1]:.3f} m below')
