"""Angles that arrive wrapped are flown as those that do not."""

from dataclasses import replace

import numpy as np
import pytest

from trc_core import Controller, get_system
from trc_core.evaluation.closed_loop import fly
from trc_core.flight.adaptation import ParameterEstimator
from trc_core.flight.limits import CommandLimits
from trc_core.flight.pilot import Pilot
from trc_core.flight.safety import Measurement, SafetyMonitor
from trc_core.flight.settings import Settings
from trc_core.planner.turns import undeclared_angles

SYSTEM = replace(get_system('pendulum'), angles=('angle',))
GOAL = np.zeros(2)
TURN = 2 * np.pi


def wrapped(x):
    return np.array([(x[0] + np.pi) % TURN - np.pi, x[1]])


@pytest.fixture(scope='module')
def controller():
    return Controller.classical(SYSTEM)


def swing_up(controller, x, seen, seconds=6.0):
    """Seconds until the pendulum is up for good, and the commands, if its state is seen so."""
    now, up, commands = 0.0, [], []
    settings = Settings(CommandLimits.of(SYSTEM), 1.0)
    monitor = SafetyMonitor(SYSTEM, settings, controller.lqr_plan)
    pilot = Pilot(controller, monitor, SYSTEM.dt, lambda: now, deadline=np.inf)
    for tick in range(round(seconds / SYSTEM.dt)):
        now = tick * SYSTEM.dt
        u = pilot.fly(Measurement(seen(x), now), GOAL).control
        up.append(np.abs(wrapped(x)).max() < 0.1)
        commands.append(u[0])
        x = SYSTEM.step(x, u)
    return SYSTEM.dt * (len(up) - up[::-1].index(False)), np.array(commands)


@pytest.mark.parametrize('x', [(3.1, 0.5), (-3.1, -0.5)])  # swings through the lowest point
def test_a_pendulum_that_is_seen_wrapped_is_up_as_soon(controller, x):
    straight, commands = swing_up(controller, np.array(x), lambda x: x)
    around, same = swing_up(controller, np.array(x), wrapped)
    assert around == straight < 5.0
    np.testing.assert_allclose(same, commands, atol=1e-6)


@pytest.mark.parametrize('x', [(3.1, 0.5), (3.0, -1.0), (-2.5, -1.0)])
def test_the_shipped_pendulum_that_counts_its_turns_is_up_as_soon(x):
    network = Controller.load('pendulum')
    straight, commands = swing_up(network, np.array(x), lambda x: x)
    around, same = swing_up(network, np.array(x), wrapped)
    assert around == straight < 6.0
    np.testing.assert_allclose(same, commands, atol=1e-6)


@pytest.mark.parametrize('name', ['pendulum', 'cartpole_swingup'])
def test_plans_that_count_turns_hold_a_plant_that_is_seen_wrapped(name):
    network = Controller.load(name)
    system, place = network.system, 0 if name == 'pendulum' else 2

    def seen(x):
        y = x.copy()
        y[place] = (y[place] + np.pi) % TURN - np.pi
        return y

    for x in system.sample(np.random.default_rng(77), 4)[0]:
        plan, jumps = None, 0
        for _ in range(100):
            before, plan = plan, network.plan(seen(x), np.zeros(system.n_x), warm_start=plan)
            jumps += before is not None and abs(plan.states[0] - before.states[1]).max() > 1.0
            x = system.step(x, plan.controls[0])
        assert jumps == 0
        assert np.abs(seen(x)).max() < 0.1


def test_a_state_after_a_gap_counts_modulo_a_turn_towards_the_goal(controller):
    """The pendulum has turned while nobody saw it; its encoder says what it says."""
    now, monitor = 0.0, SafetyMonitor(SYSTEM, Settings(CommandLimits.of(SYSTEM), 1.0))
    pilot = Pilot(controller, monitor, SYSTEM.dt, lambda: now, deadline=np.inf)
    pilot.fly(Measurement(np.array([0.3, 0.0]), now), GOAL)
    for turns in (2, -3):
        now += 10.0
        pilot.restart()
        near = pilot.fly(Measurement(np.array([0.2 + turns * TURN, 0.0]), now), GOAL).plan
        assert near.states[0, 0] == 0.2 + turns * TURN
        assert np.abs(near.states[:, 0] - turns * TURN).max() < 0.5 * TURN


def test_what_seems_to_be_an_angle_without_being_declared_is_named():
    assert undeclared_angles(get_system('pendulum')) == ['angle']
    assert undeclared_angles(SYSTEM) == []
    assert undeclared_angles(get_system('quadrotor_2d')) == []  # it never starts upside down
    wound = replace(
        get_system('pendulum'),
        name='wound',
        dynamics=lambda x, u, gravity, damping: [x[1], u[0] - gravity * x[0]],
    )
    assert undeclared_angles(wound) == []  # a spring counts the turns


def test_the_fallback_steers_the_short_way(controller):
    near = np.array([TURN - 0.2, 0.0])
    np.testing.assert_allclose(
        controller.lqr_plan(near, GOAL).controls,
        controller.lqr_plan(near - [TURN, 0.0], GOAL).controls,
        atol=1e-9,
    )


def test_parameters_are_learned_across_the_jump_of_an_angle():
    heavy = SYSTEM.with_parameters(gravity=11.0)
    estimator = ParameterEstimator(SYSTEM, [1e-3, 1e-3])
    estimate, x, u = estimator.prior(), np.array([2.0, 0.0]), np.array([[1.0]])
    seconds, crossed = np.array([SYSTEM.dt]), 0
    for _ in range(60):
        after, before = heavy.step(x, u[0]), estimate
        estimate = estimator.update(before, wrapped(x), u, seconds, wrapped(after))
        if abs(wrapped(after)[0] - wrapped(x)[0]) > np.pi:
            crossed += 1
            assert estimate is not before  # no outlier
        x = after
    assert crossed >= 2
    assert estimator.parameters(estimate)[0] == pytest.approx(11.0, rel=0.01)


def test_a_flight_that_ends_a_turn_away_holds_its_goal():
    up = np.array([TURN + 0.05, 0.0])
    flown = fly(None, SYSTEM, None, up, GOAL, 0)
    assert flown.held
    assert not fly(None, replace(SYSTEM, angles=()), None, up, GOAL, 0).held
    assert flown.cost == pytest.approx(SYSTEM.Q_f[0, 0] * 0.05**2)
