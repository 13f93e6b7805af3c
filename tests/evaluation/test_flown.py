"""Flights judged by the limits, weights and goal of the plant, in any units, at any horizon."""

import numpy as np
import pytest

from trc_core import SYSTEMS, System
from trc_core.evaluation.closed_loop import PerturbedPlant, fly, fly_all
from trc_core.evaluation.flown import Flown, has_fallen, is_held
from trc_core.numerics.plan import Plan

UNITS = {'km': 1e-3, 'm': 1.0, 'mm': 1e3, 'um': 1e6}
GOAL = np.zeros(2)


def cart(unit=1.0, horizon=30, **changes):
    """A cart of 1 kg on a track of 5 m, its positions in metres divided by `unit`."""
    words = {
        'dt': 0.1,
        'horizon': horizon,
        'Q': [10.0 / unit**2, 1.0 / unit**2],
        'R': [0.1],
        'x0_box': [unit, unit],
        'goal_box': [0.0, 0.0],
        'x_max': [5.0 * unit, np.inf],
        'constraint_tolerance': 0.01 * unit,
    }
    return System(
        name='cart',
        dynamics=lambda x, u: [x[1], unit * u[0]],
        state_names=('p', 'v'),
        state_units=('m', 'm/s'),
        control_names=('F',),
        control_units=('N',),
        joints=(),
        u_min=[-2.0],
        u_max=[2.0],
        **{**words, **changes},
    )


def judged(system, positions, unit=1.0):
    """Whether a cart that stands at positions [m] in turn has fallen, and is held."""
    states = np.stack([unit * np.array(positions), np.zeros(len(positions))], 1)
    return has_fallen(system, states, GOAL), is_held(system, states[-1], GOAL)


FLOWN = {
    'home': ([1.0, 0.5, 0.0], (False, True)),
    'beside the goal': ([1.0, 0.5, 0.14], (False, True)),
    'on the way': ([1.0, 0.5, 0.2], (False, False)),
    'at the limit and back': ([1.0, 5.04, 0.0], (False, True)),
    'through the limit and back': ([1.0, 5.06, 0.0], (True, True)),
    'from beyond the limit': ([5.5, 5.4, 0.0], (False, True)),
    'far to the other side, and back': ([1.0, -9.9, 0.0], (False, True)),
    'lost to the other side, though back': ([1.0, -10.7, 0.0], (True, True)),
    'gone': ([1.0, np.nan, np.nan], (True, False)),
}


@pytest.mark.parametrize('unit', UNITS.values(), ids=UNITS)
@pytest.mark.parametrize(('positions', 'expected'), FLOWN.values(), ids=FLOWN)
def test_a_flight_is_judged_alike_in_all_units_and_horizons(positions, expected, unit):
    for horizon in (5, 30):
        assert judged(cart(unit, horizon), positions, unit) == expected


def test_a_state_without_width_or_weight_does_not_say_that_a_plant_diverged():
    system = cart(x0_box=[1.0, 0.0], Q=[10.0, 0.0])
    states = np.array([[1.0, 0.0], [0.0, -1e6]])
    assert not has_fallen(system, states, GOAL)
    assert has_fallen(system, 1e3 * states[:, ::-1], GOAL)


def test_a_plant_that_started_at_its_only_goal_may_move():
    system = cart(x0_box=[0.0, 0.0], goal_tolerance=[0.1, None])
    assert judged(system, [0.0, 0.5, 0.0]) == (False, True)
    assert judged(system, [0.0, -2.0, 0.0]) == (True, True)


def test_flights_that_end_in_nothing_do_not_end_the_others():
    system = SYSTEMS['van_der_pol']

    class Breaks(PerturbedPlant):
        def step(self, x, u):
            return np.full(2, np.nan) if x[0] > 10 else super().step(x, u)

    def idle(x, goal, previous):
        assert np.isfinite(x).all()
        T = system.horizon
        return Plan(np.zeros((T, 1)), np.tile(x, (T + 1, 1)), 0.0, 'idle', True, 0)

    x0 = np.array([[20.0, 0.0], [-0.5, 0.0]])
    flown = fly_all(lambda: idle, system, Breaks(system), x0, np.zeros((2, 2)))
    assert flown.fallen[0] and not flown.held[0] and flown.cost[0] == np.inf
    assert not flown.fallen[1] and np.isfinite(flown.cost[1])


def test_the_cost_of_a_flight_counts_the_trim_of_its_goal_and_the_residuals():
    """A motor that holds its speed pays for what differs from the torque that holds it."""

    def drag(x, u):
        return [u[0] - x[0]]

    motor = System(
        name='motor',
        dynamics=drag,
        residuals=lambda x, u, goal: [2.0 * (x[0] - goal[0])],
        state_names=('speed',),
        state_units=('rad/s',),
        control_names=('torque',),
        control_units=('Nm',),
        joints=(),
        dt=0.1,
        horizon=10,
        u_min=[-5.0],
        u_max=[5.0],
        u_trim='equilibrium',
        Q=[1.0],
        Q_f=[0.0],
        R=[1.0],
        x0_box=[1.0],
        goal_box=[3.0],
    )
    states, goal = np.array([[2.0], [2.0], [2.5]]), np.array([2.0])
    flown = Flown.of(motor, states, np.array([[2.0], [2.5]]), goal)
    assert flown.cost == pytest.approx(0.5**2)
    off = Flown.of(motor, np.array([[2.0], [2.5], [2.5]]), np.full((2, 1), 2.0), goal)
    assert off.cost == pytest.approx(0.5**2 + (2.0 * 0.5) ** 2)


def test_nothing_is_flown_after_a_state_that_is_not_finite():
    system, asked = SYSTEMS['van_der_pol'], []

    class Gone(PerturbedPlant):
        def step(self, x, u):
            return np.full(2, np.inf)

    def planner(x, goal, previous):
        asked.append(x)
        return Plan(np.zeros((1, 1)), np.zeros((2, 2)), 0.0, 'idle', True, 0)

    fly(planner, system, Gone(system), np.ones(2), np.zeros(2), 20)
    assert len(asked) == 1
