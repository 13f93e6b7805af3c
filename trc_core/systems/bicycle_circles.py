"""A car that drives to a pose among circles, by its acceleration and its steering rate."""

import numpy as np
from numpy import arctan, arctan2, cos, hypot, maximum, minimum, sin, sqrt, tan

from trc_core.problem.system import FAR, Array, Obstacle, System
from trc_core.systems.shipped import PROPOSALS, Recipe, ShippedSystem, SideView

CIRCLES = 6
WHEELBASE = 0.33
BODY = np.array([[-0.08, -0.1], [0.43, -0.1], [0.43, 0.1], [-0.08, 0.1], [-0.08, -0.1]])  # [m]
WHEEL = np.array([[-0.07, 0.0], [0.07, 0.0]])  # [m]
MOVING_SHARE = 0.3  # of the problems to learn from


def dynamics(x, u, **_):
    """The kinematic bicycle, its reference point on the rear axle."""
    _, _, heading, speed, steering = x
    turn = speed * tan(steering) / WHEELBASE
    return [speed * cos(heading), speed * sin(heading), turn, u[0], u[1]]


def constraints(x, time, **p):
    """The distance into every circle, whose radius includes the car."""
    return {
        f'circle_{k}': p[f'r{k}']
        - hypot(x[0] - p[f'x{k}'] - p[f'vx{k}'] * time, x[1] - p[f'y{k}'] - p[f'vy{k}'] * time)
        for k in range(1, CIRCLES + 1)
    }


def follow(x, goal):
    """Pure pursuit of the goal, at a speed from which the car can still stop there."""
    gap = hypot(goal[0] - x[0], goal[1] - x[1])
    bearing = arctan2(goal[1] - x[1], goal[0] - x[0]) - x[2]
    speed = minimum(1.5, sqrt(1.6 * maximum(gap - 0.05, 1e-9)))
    turn = arctan(2.0 * WHEELBASE * sin(bearing) / minimum(maximum(gap, 0.3), 1.0))
    wanted = minimum(maximum(turn, -0.45), 0.45) * minimum(maximum(10.0 * gap - 3.0, 0.0), 1.0)
    return [(speed - x[3]) / 0.3, (wanted - x[4]) / 0.2]


def stop(x):
    """Full brakes, the wheels turned straight."""
    return [-x[3] / 0.1, -x[4] / 0.1]


def unused(k):
    """The parameters of a circle that is not there."""
    return {f'x{k}': FAR, f'y{k}': 0.0, f'r{k}': 0.3, f'vx{k}': 0.0, f'vy{k}': 0.0}


bicycle_circles = System(
    name='bicycle_circles',
    dynamics=dynamics,
    constraints=constraints,
    laws={'line': follow, 'stop': stop},
    state_names=('x', 'y', 'heading', 'speed', 'steering'),
    state_units=('m', 'm', 'rad', 'm/s', 'rad'),
    control_names=('acceleration', 'steering_rate'),
    control_units=('m/s^2', 'rad/s'),
    joints=(),
    angles=('heading',),
    dt=0.1,
    horizon=60,
    u_min=[-2.0, -3.0],
    u_max=[2.0, 3.0],
    x_min=[None, None, None, -0.5, -0.5],
    x_max=[None, None, None, 2.0, 0.5],
    Q=[1.0, 1.0, 0.1, 0.1, 0.1],
    R=[0.1, 0.1],
    Q_f=[50.0, 50.0, 20.0, 10.0, 1.0],
    violation_weight=300.0,
    x0_box=[[0.0, 0.0, -1.2, 0.0, -0.3], [0.0, 0.0, 1.2, 1.5, 0.3]],
    goal_box=[[4.0, 0.0, -1.2, 0.0, 0.0], [7.0, 0.0, 1.2, 0.0, 0.0]],
    goal_tolerance=[0.1, 0.1, 0.1, 0.1, None],
    parameters={name: value for k in range(1, CIRCLES + 1) for name, value in unused(k).items()},
    ranges={
        name: limits
        for k in range(1, CIRCLES + 1)
        for name, limits in (
            (f'x{k}', (0.8, 6.4)),
            (f'y{k}', (-1.6, 1.6)),
            (f'r{k}', (0.3, 0.9)),
            (f'vx{k}', (-0.15, 0.15)),
            (f'vy{k}', (-0.15, 0.15)),
        )
    },
    obstacles=tuple(
        Obstacle(f'x{k}', f'y{k}', f'r{k}', vx=f'vx{k}', vy=f'vy{k}')
        for k in range(1, CIRCLES + 1)
    ),
)


def draw(rng: np.random.Generator, moving: bool = False) -> tuple[Array, Array, dict[str, float]]:
    """A start (n_x,), a goal (n_x,) and the parameters of 3 to 6 circles between them.

    Every circle lies at least 0.25 m off the goal, and off the line on which the car would stop
    straight ahead; the rows that are not used lie far away.

    Args:
        rng: draws.
        moving: circles move at up to 0.15 m/s along each axis.
    """
    (x0,), (goal,) = bicycle_circles.sample(rng, 1)
    reach = 0.3 + x0[3] ** 2 / 4.0
    line = np.linspace(0.0, reach, 20)[:, None] * np.array([np.cos(x0[2]), np.sin(x0[2])])
    parameters: dict[str, float] = {}
    count = int(rng.integers(3, CIRCLES + 1))
    while len(parameters) < 5 * count:
        k = len(parameters) // 5 + 1
        centre = np.array([rng.uniform(0.8, goal[0] - 0.6), rng.normal(0.0, 0.8)])
        radius = rng.uniform(0.3, 0.9)
        clear = np.linalg.norm(np.vstack([line, goal[:2]]) - centre, axis=1).min() - radius
        if clear >= 0.25:
            speed = rng.uniform(-0.15, 0.15, 2) if moving else np.zeros(2)
            values = (*centre, radius, *speed)
            names = (f'{name}{k}' for name in ('x', 'y', 'r', 'vx', 'vy'))
            parameters.update(zip(names, map(float, values), strict=True))
    return x0, goal, parameters


def draw_to_learn(rng: np.random.Generator) -> tuple[Array, Array, dict[str, float]]:
    """`draw`, with circles that move in a share of the problems."""
    return draw(rng, moving=bool(rng.uniform() < MOVING_SHARE))


def outline(x: Array) -> list[Array]:
    """The car seen from above and its front wheel, each (N, 2), for a state (n_x,)."""
    steered = x[2] + x[4]
    wheel = WHEEL @ _turn(steered) + np.array([WHEELBASE, 0.0]) @ _turn(x[2])
    return [x[:2] + BODY @ _turn(x[2]), x[:2] + wheel]


def _turn(angle: float) -> Array:
    """The matrix (2, 2) that turns rows of points by an angle."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


shipped = ShippedSystem(
    bicycle_circles,
    recipes={
        'bicycle_circles': Recipe(
            'bicycle_circles',
            stage='hypotheses',
            overrides={**PROPOSALS, 'relations': 1, 'labels': 10000, 'first_steps': 16000},
        )
    },
    side_view=SideView(outline, path=lambda states: states[:, :2]),
    draw=draw,
    draw_to_learn=draw_to_learn,
)
