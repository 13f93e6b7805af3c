"""The crane of `crane_flight` with every word of a task, as a user would write it."""

from tests.crane_flight import CRANE

LADEN = (
    CRANE.replace('from numpy import cos, sin', 'from numpy import cos, hypot, sin')
    .replace('from trc_core import System', 'from trc_core import Obstacle, System')
    .replace(
        'def dynamics(x, u, m, M, length):',
        """def constraints(x, length, pole_x, pole_y, pole_r, **_):
    load_x, load_y = x[0] + length * sin(x[1]), -length * cos(x[1])
    return {'pole': pole_r - hypot(load_x - pole_x, load_y - pole_y)}

def residuals(x, u):
    return [0.1 * u[0] * x[2]]

def terminal_residuals(x, length):
    return {'height': 0.2 * length * (1.0 - cos(x[1]))}

def stop(x, m, M, **_):
    return [-3.0 * (m + M) * x[2]]

def hold(goal, M, **_):
    return [0.01 * M * goal[0]]

def dynamics(x, u, m, M, length, **_):""",
    )
    .replace(
        "parameters={'m': 0.7, 'M': 2.0, 'length': 0.8},",
        """constraints=constraints, residuals=residuals, terminal_residuals=terminal_residuals,
    laws={'stop': stop}, u_trim=hold, angles=('angle',), violation_weight=300.0,
    ranges={'m': (0.5, 1.0)}, obstacles=(Obstacle('pole_x', 'pole_y', 'pole_r'),),
    x_max=[None, 1.2, 1.5, None], x_min=[None, -1.2, -1.5, None],
    goal_tolerance=[0.05, 0.05, 0.1, None],
    parameters={'m': 0.7, 'M': 2.0, 'length': 0.8,
                'pole_x': 0.5, 'pole_y': -1.0, 'pole_r': 0.22},""",
    )
    .replace(
        'x0_box=[2.0, 0.6, 0.5, 0.5], goal_box=[0.0] * 4',
        'x0_box=[[-1.5, -0.6, -0.5, -0.5], [2.5, 0.6, 0.5, 0.5]], '
        'goal_box=[[-0.5, 0.0, 0.0, 0.0], [0.7, 0.0, 0.0, 0.0]]',
    )
)
