"""A lander on Mars that burns the least fuel, by the vector of its thrust; the time is free."""

import numpy as np
from numpy import log, sqrt

from trc_core.problem.places import Joint, Norm
from trc_core.problem.system import Array, System
from trc_core.systems.perspective import seen
from trc_core.systems.shipped import Body, Part, Recipe, ShippedSystem, SideView

GRAVITY = 3.71  # [m/s^2]
EXHAUST = 200.7 * 9.80665  # [m/s] speed of the exhaust
SLOPE = np.tan(np.deg2rad(4.0))  # of the cone that the lander stays in
LEAST, FULL, OFF = 4972.0, 13258.0, 1e-3  # [N]
HULL, SHOWN = 3.0, 60.0  # [m] of the hull, and how many times as large it is drawn
LEGS = tuple((x, y, -3.0) for x, y in ((2.5, 0.0), (0.0, 2.5), (-2.5, 0.0), (0.0, -2.5)))
TURNS = np.linspace(0.0, 2.0 * np.pi, 13)
ROUND = np.stack([np.cos(TURNS), np.sin(TURNS), 0.0 * TURNS], axis=1)  # (13, 3)
SLIGHT = 1.0  # [m, m/s] that a lander which touches down may be too low or too fast
GRID, LONGEST = 0.02, 300.0  # [s] of the proof that a lander cannot land


def dynamics(x, u, dt, thrust_gain):
    """The state after holding a thrust for dt, in closed form.

    With the share q = |u| dt / (c m) of the mass that burns, v grows by g dt - c d log(1 - q) and
    the place by v dt + g dt^2 / 2 + c d dt phi(q), phi = sum q^n / (n (n + 1)), d = u / |u|.
    An engine that is off counts as one of `OFF`, which has a direction to divide by.
    """
    thrust = sqrt(u[0] ** 2 + u[1] ** 2 + u[2] ** 2 + OFF**2)
    q = thrust * dt / (EXHAUST * x[6])
    far = thrust_gain * EXHAUST * dt * _phi(q) / thrust
    fast = -thrust_gain * EXHAUST * log(1.0 - q) / thrust
    down = np.array([0.0, 0.0, -GRAVITY])
    r = [x[i] + dt * (x[3 + i] + 0.5 * dt * down[i]) + far * u[i] for i in range(3)]
    v = [x[3 + i] + dt * down[i] + fast * u[i] for i in range(3)]
    return [*r, *v, x[6] * (1.0 - q)]


def _phi(q):
    """The sum of q^n / (n (n + 1)) over n >= 1."""
    return 1.0 + (1.0 - q) * log(1.0 - q) / q


def constraints(x):
    """The depth below the glide slope."""
    return {'glide_slope': SLOPE * sqrt(x[0] ** 2 + x[1] ** 2) - x[2]}


def zero_effort(x, goal, time_to_go):
    """The thrust that would meet the goal's place and velocity with the least effort.

    It accelerates by 6 ZEM / t^2 - 2 ZEV / t, with the errors ZEM and ZEV at the end if it did not
    thrust. Source: Ebrahimi, Bahrami, Roshanian, Optimal sliding-mode guidance (2008).
    """
    down = (0.0, 0.0, -GRAVITY)
    thrust = []
    for i in range(3):
        missed = goal[i] - x[i] - time_to_go * (x[3 + i] + 0.5 * time_to_go * down[i])
        too_fast = goal[3 + i] - x[3 + i] - time_to_go * down[i]
        thrust.append(x[6] * (6.0 * missed / time_to_go**2 - 2.0 * too_fast / time_to_go))
    return thrust


def cannot_land(x, parameters):
    """The reason why a lander cannot land from a state (7,); None where there is no proof.

    Full thrust straight up makes height and climb the largest, at any time, of all thrusts. Where
    even that meets the ground before it stops falling, nothing can land.
    """
    height, climb, mass, gain = x[2], x[5], x[6], parameters['thrust_gain']
    depth = SLOPE * np.hypot(x[0], x[1]) - height
    if depth > SLIGHT:
        return f'cannot be landed: it begins {depth:.0f} m below the glide slope'
    t = np.arange(GRID, min(LONGEST, 0.999 * mass * EXHAUST / FULL), GRID)
    q = FULL * t / (EXHAUST * mass)
    climb = climb - GRAVITY * t - gain * EXHAUST * np.log1p(-q)
    height = height + x[5] * t - 0.5 * GRAVITY * t**2 + gain * EXHAUST * t * _phi(q)
    under = np.flatnonzero(height < 0.0)
    if not len(under) or np.any(climb[: under[0]] >= 0.0) or climb[under[0]] > -SLIGHT:
        return None
    return (
        f'cannot be landed: full thrust from now on meets the ground at {-climb[under[0]]:.0f} m/s'
    )


def touches_ground(before: Array, after: Array) -> tuple[Array, str] | None:
    """The state at rest (7,) of a lander that has reached the ground, and how it came down."""
    if after[2] > 0.0 or after[2] > before[2]:
        return None
    drop = before[2] - after[2]
    share = min(max(before[2] / drop, 0.0), 1.0) if drop > 0.0 else 1.0
    state = before + share * (after - before)
    miss, speed = np.hypot(*state[:2]), np.linalg.norm(state[3:6])
    state[2:6] = 0.0
    return state, f'on the ground, {miss:.3g} m from the origin, at {speed:.3g} m/s'


def outline(x: Array) -> list[Array]:
    """The hull and the legs of a lander, many times as large, at a state (7,); each (N, 2)."""
    corners = 0.5 * HULL * SHOWN * ROUND
    low, high = (x[:3] + corners + [0.0, 0.0, z * HULL * SHOWN] for z in (-0.5, 0.5))
    legs = [np.stack([x[:3], x[:3] + SHOWN * leg]) for leg in np.array(LEGS)]
    return [seen(line) for line in (low, high, *legs)]


rocket_landing = System(
    name='rocket_landing',
    dynamics=dynamics,
    discrete=True,
    constraints=constraints,
    laws={'zero_effort': zero_effort},
    state_names=('x', 'y', 'z', 'v_x', 'v_y', 'v_z', 'mass'),
    state_units=('m', 'm', 'm', 'm/s', 'm/s', 'm/s', 'kg'),
    control_names=('thrust_x', 'thrust_y', 'thrust_z'),
    control_units=('N', 'N', 'N'),
    joints=tuple(Joint(name, place, place + 3, place) for place, name in enumerate('xyz')),
    parameters={'thrust_gain': 1.0},
    dt=0.1,
    horizon=50,
    final_time=(10.0, 300.0),
    terminal=('x', 'y', 'z', 'v_x', 'v_y', 'v_z'),
    terminal_cost=[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0],
    norms=(Norm(('thrust_x', 'thrust_y', 'thrust_z'), low=LEAST, high=FULL),),
    u_min=[-FULL] * 3,
    u_max=[FULL] * 3,
    x_min=[None, None, None, None, None, None, 500.0],
    Q=[0.0] * 7,
    R=[0.0] * 3,
    x0_box=[
        [-2500.0, -8000.0, 500.0, -100.0, -100.0, -100.0, 1500.0],
        [9000.0, 5500.0, 6000.0, 100.0, 100.0, 100.0, 3900.0],
    ],
    goal_box=[0.0] * 7,
    constraint_tolerance=1.0,
    goal_tolerance=[10.0, 10.0, 10.0, 5.0, 5.0, 5.0, None],
)
shipped = ShippedSystem(
    rocket_landing,
    recipes={'rocket_landing': Recipe('rocket_landing', stage='descent')},
    certificate=cannot_land,
    pose_axes=('x', 'y', 'z'),
    body=Body((Part((HULL, HULL, HULL)), *(Part((1.0, 1.0, HULL / 3), leg) for leg in LEGS))),
    side_view=SideView(outline, path=lambda states: seen(states[:, :3])),
    contact=touches_ground,
)
