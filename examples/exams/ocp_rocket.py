"""A sounding rocket burns its fuel so that it rises as high as it can; the time is free.

Source: OptimalControlProblems.jl, rocket; Goddard's rocket in Dolan, Moré, Munson, Benchmarking
optimization software with COPS 3.0 (2004): constants, limits, start. Run: trc exam ocp_rocket
"""

from numpy import exp, maximum, minimum

from trc_core import System

FULL, EMPTY, EXHAUST = 3.5, 0.6, 0.5  # thrust, mass and speed, in units of the start
DRAG, THIN = 310.0, 500.0  # of the air, and how it thins out with the height
START = [1.0, 0.0, 1.0]
CONSTANT = -1.0  # of J: the height of the start


def dynamics(x, u):
    """Height from the centre of the planet, speed and mass, in units of the start."""
    height, speed, mass = x
    drag = DRAG * speed**2 * exp(-THIN * (height - 1.0))
    return [speed, (u[0] - drag) / mass - 1.0 / height**2, -u[0] / EXHAUST]


def burn(x):
    """A start for plans: full thrust while there is fuel."""
    return [FULL * minimum(maximum(100.0 * (x[2] - EMPTY), 0.0), 1.0)]


rocket = System(
    name='ocp_rocket',
    dynamics=dynamics,
    laws={'burn': burn},
    state_names=('height', 'speed', 'mass'),
    state_units=('1', '1', '1'),
    control_names=('thrust',),
    control_units=('1',),
    joints=(),
    dt=0.002,
    horizon=100,
    final_time=(0.05, 0.5),
    terminal=('mass',),
    terminal_cost=[-1.0, 0.0, 0.0],
    u_min=[0.0],
    u_max=[FULL],
    x_min=[1.0, 0.0, EMPTY],
    x_max=[None, None, 1.0],
    Q=[0.0] * 3,
    R=[0.0],
    x0_box=[[1.0, 0.0, 0.9], [1.002, 0.02, 1.0]],
    goal_box=[[1.0, 0.0, EMPTY], [1.0, 0.0, EMPTY]],
    goal_tolerance=[None, None, 1e-3],
)


def published(plan):
    """The height that is reached, in COPS 3.0 and by a plan."""
    return 1.01283, float(plan.states[-1, 0])
