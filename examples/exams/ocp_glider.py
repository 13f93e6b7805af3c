"""A hang glider crosses an updraft and flies as far as it can while it sinks by 100 m.

Source: OptimalControlProblems.jl, glider; Dolan, Moré, Munson, Benchmarking optimization software
with COPS 3.0 (2004): constants, limits, start and end. Run: trc exam ocp_glider
"""

from numpy import exp, sqrt

from trc_core import System

UPDRAFT, WIDTH, MASS, GRAVITY = 2.5, 100.0, 100.0, 9.81  # m/s, m, kg, m/s^2
DRAG, INDUCED, HALF_AIR = 0.034, 0.069662, 0.5 * 1.13 * 14.0  # 1, 1, kg/m
START = [0.0, 1000.0, 13.23, -1.288]
END = [1250.0, 900.0, 13.23, -1.288]


def dynamics(x, u):
    """Place and velocity in a vertical plane; the lift coefficient is the control."""
    far, _, v_x, v_y = x
    r = (far / WIDTH - 2.5) ** 2
    w = v_y - UPDRAFT * (1.0 - r) * exp(-r)
    v = sqrt(v_x**2 + w**2)
    lift, drag = HALF_AIR * u[0] * v, HALF_AIR * (DRAG + INDUCED * u[0] ** 2) * v
    return [v_x, v_y, (-lift * w - drag * v_x) / MASS, (lift * v_x - drag * w) / MASS - GRAVITY]


def glide(x):
    """A start for plans: the speed of the best glide is held, and swings are damped."""
    return [0.7 + 0.1 * (x[2] - 13.23) - 0.1 * (x[3] + 1.288)]


glider = System(
    name='ocp_glider',
    dynamics=dynamics,
    laws={'glide': glide},
    state_names=('far', 'height', 'v_x', 'v_y'),
    state_units=('m', 'm', 'm/s', 'm/s'),
    control_names=('lift',),
    control_units=('1',),
    joints=(),
    dt=1.0,
    horizon=100,
    final_time=(30.0, 200.0),
    terminal=('height', 'v_x', 'v_y'),
    terminal_cost=[-1.0, 0.0, 0.0, 0.0],
    u_min=[0.0],
    u_max=[1.4],
    x_min=[0.0, None, 0.0, None],
    Q=[0.0] * 4,
    R=[0.0],
    x0_box=[[0.0, 995.0, 12.5, -1.5], [20.0, 1005.0, 14.0, -1.0]],
    goal_box=[END, END],
    goal_tolerance=[None, 1.0, 0.1, 0.1],
)


def published(plan):
    """The distance [m], in COPS 3.0 and by a plan."""
    return 1247.97, float(plan.states[-1, 0])
