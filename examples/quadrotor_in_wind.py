"""A quadrotor in space flies a figure eight, whatever it weighs and however the wind blows.

The first flight is that of the plant that the controller knows. In the second one it is 5 %
heavier and slower to turn, and a wind pushes it; the third controller learns that in flight.
Run: python quadrotor_in_wind.py, or python quadrotor_in_wind.py FILE.png for a picture
"""

import sys

import numpy as np
from numpy import cos, sin

from trc_core import Controller, get_system
from trc_core.evaluation.closed_loop import learning

PERIOD, LENGTH, WIDTH, GRAVITY = 5.0, 1.0, 0.5, 9.81  # [s], [m], [m], [m/s^2]
LAPS = 2

model = get_system('quadrotor')
windy = model.with_parameters(mass=1.05, Ix=0.0084, Iz=0.0147, wind_x=0.6, wind_y=-0.6)


def figure_eight(since):
    """The reference (T + 1, 12) from `since` seconds after the start: level turns, no yaw."""
    t, w = since + model.dt * np.arange(model.horizon + 1), 2 * np.pi / PERIOD
    zero = np.zeros_like(t)
    position = np.stack([LENGTH * sin(w * t), WIDTH * sin(2 * w * t), zero], axis=1)
    velocity = w * np.stack([LENGTH * cos(w * t), 2 * WIDTH * cos(2 * w * t), zero], axis=1)
    nudge = 1e-4  # [s]
    rates = (attitude(t + nudge) - attitude(t - nudge)) / (2 * nudge)  # of a small attitude
    return np.hstack([position, attitude(t), velocity, rates])


def attitude(t):
    """The attitudes (N, 3) whose thrust makes the turns of the eight: 4 tan(angle / 4) axis."""
    w = 2 * np.pi / PERIOD
    pull_x = -LENGTH * w**2 * sin(w * t)
    pull_y = -4 * WIDTH * w**2 * sin(2 * w * t)
    side = np.hypot(pull_x, pull_y)
    scale = 4 * np.tan(np.arctan2(side, GRAVITY) / 4) / np.maximum(side, 1e-12)
    return np.stack([-pull_y * scale, pull_x * scale, 0 * t], axis=1)


def fly(planner, plant):
    """The positions (LAPS, N, 3) of some laps, and the distances (LAPS, N) from the eight."""
    plan, x, flown, wanted = None, figure_eight(0.0)[0], [], []
    for tick in range(LAPS * round(PERIOD / model.dt)):
        reference = figure_eight(tick * model.dt)
        plan = planner(x, reference, plan)
        flown.append(x[:3])
        wanted.append(reference[0, :3])
        x = plant.step(x, plan.controls[0])
    flown, wanted = (np.reshape(points, (LAPS, -1, 3)) for points in (flown, wanted))
    return flown, np.linalg.norm(flown - wanted, axis=2)


def draw(flights, path):
    """The flights from above, each lap darker than the one before."""
    from matplotlib.figure import Figure

    figure = Figure((10.0, 2.6), layout='constrained')
    for axes, (name, flown) in zip(figure.subplots(1, len(flights)), flights.items(), strict=True):
        wanted = np.array([figure_eight(t)[0] for t in np.arange(0.0, PERIOD, model.dt)])
        axes.plot(*wanted[:, :2].T, '--', color='crimson', lw=1)
        for lap, points in enumerate(flown):
            axes.plot(*points[:, :2].T, color='navy', alpha=(lap + 1) / LAPS, lw=1)
        axes.set(title=name, xlabel='x [m]', ylabel='y [m]', aspect='equal')
    figure.savefig(path, dpi=90)


if __name__ == '__main__':
    controller, flights = Controller.load('quadrotor', cycles=1), {}
    for name, planner, plant in (
        ('as modelled', controller.plan, model),
        ('5 % heavier, in wind', controller.plan, windy),
        ('the same, learned', learning(controller), windy),
    ):
        flights[name], errors = fly(planner, plant)
        rms = 100.0 * np.sqrt(np.mean(errors**2, axis=1))
        print(f'{name:22}' + ' '.join(f'{error:.1f}' for error in rms) + ' cm rms, lap by lap')
    if sys.argv[1:2] and sys.argv[1].endswith('.png'):
        draw(flights, sys.argv[1])
