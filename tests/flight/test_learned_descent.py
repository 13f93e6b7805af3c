"""Descents on a lander that is weaker than its model, which is found out on the way."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.flight.test_free_duration import lander, monitor_of
from trc_core import Controller, System, get_system
from trc_core.flight.adaptation import CERTAIN, ParameterEstimator
from trc_core.flight.learnable import Learnable
from trc_core.flight.pilot import Pilot
from trc_core.flight.safety import Measurement

ROCKET = get_system('rocket_landing')
START = np.array([700.0, -400.0, 900.0, -30.0, 15.0, -45.0, 2100.0])
SENSORS = np.array([0.3, 0.3, 0.3, 0.03, 0.03, 0.03, 0.3])  # m, m/s, kg


def flown(learns, input_gain=0.95, model=1.0):
    """How a noisy descent ended, and with which gains it was planned."""
    plant, rng, time = lander(input_gain=input_gain), np.random.default_rng(2), [0.0]
    controller = Controller.load('rocket_landing')
    estimator = ParameterEstimator(ROCKET) if learns else None
    pilot = Pilot(
        controller, monitor_of(), 0.1, lambda: time[0], 0.0, estimator, deadline=math.inf
    )
    x, gains = plant.reset(START), []
    while not plant.ended and time[0] < 120.0:
        seen = Measurement(x + SENSORS * rng.normal(size=7), time[0])
        decision = pilot.fly(seen, np.zeros(7), None, {'thrust_gain': model})
        gains.append(model if not learns else pilot._learned_of(np.array([model]))[0])
        x = plant.step(decision.control, 0.1)
        time[0] += 0.1
    return plant.ended, np.array(gains)


def speed_of(ended):
    return float(ended.split()[-2])


@pytest.mark.long
def test_a_weak_engine_is_found_in_time_to_land_with_it():
    lost, _ = flown(learns=False)
    landed, gains = flown(learns=True)
    assert speed_of(lost) > 20.0
    assert speed_of(landed) < 5.0
    # an engine that pushes less than it burns is planned with less than it has, and not much less
    assert (gains[50:] < 0.955).all()
    assert (gains[50:] > 0.85).all()


@pytest.mark.long
def test_what_a_model_holds_back_is_not_given_away():
    landed, gains = flown(learns=True, input_gain=1.0, model=0.94)
    assert speed_of(landed) < 5.0
    assert gains.max() <= 0.94


NUMBERS = st.floats(-1.5, 1.5)


@settings(max_examples=60, deadline=None)
@given(NUMBERS, st.floats(0.0, 0.3), st.floats(0.5, 1.5))
def test_plans_never_reckon_with_more_than_the_model(deviation, spread, model):
    learnable = Learnable.of(ROCKET, 0.1, 1.0)
    found = learnable.cautious(np.array([deviation]), np.array([spread]), np.array([model]))
    (gain,) = learnable.values(found, np.array([model]))
    assert 0.5 * model - 1e-12 <= gain <= model
    assert gain <= model * math.exp(deviation) or gain == pytest.approx(0.5 * model)


def cart(**words):
    """A cart that is pushed to a place in the least time."""

    def dynamics(x, u, mass, gravity, push):
        return [x[1], push * u[0] / mass - 0.01 * gravity]

    return System(
        **{
            'name': 'cart',
            'dynamics': dynamics,
            'parameters': {'mass': 2.0, 'gravity': 9.81, 'push': 1.0},
            'state_names': ('place', 'speed'),
            'state_units': ('m', 'm/s'),
            'control_names': ('force',),
            'control_units': ('N',),
            'joints': (),
            'dt': 0.05,
            'horizon': 20,
            'u_min': [-8.0],
            'u_max': [8.0],
            'Q': [0.0, 0.0],
            'R': [0.0],
            'x0_box': [1.0, 2.0],
            'goal_box': [1.0, 0.0],
            'final_time': (0.1, 20.0),
            'time_weight': 1.0,
            'terminal': ('place', 'speed'),
            **words,
        }
    )


def test_caution_is_more_mass_and_less_push():
    np.testing.assert_array_equal(Learnable.of(cart(), 0.1, 1.0).weakening, [1.0, 0.0, -1.0])
    fixed = {'final_time': None, 'time_weight': 0.0, 'terminal': (), 'Q': [1, 1], 'R': [1]}
    assert not Learnable.of(cart(**fixed), 0.1, 1.0).weakening.any()


def test_what_is_uncertain_is_not_planned_with():
    estimator = ParameterEstimator(ROCKET)
    estimate = replace(estimator.prior(), deviation=np.array([-0.05]))
    u, x = np.array([[0.0, 0.0, 13000.0]]), START
    sure = replace(estimate, covariance=np.array([[(0.5 * CERTAIN) ** 2]]))
    for begun, adopted in ((estimate, False), (sure, True)):
        # a motion of one tick teaches too little to be certain
        found = estimator.update(begun, x, u, np.array([0.1]), ROCKET.step(x, 0.95 * u[0]))
        assert found.is_adopted is adopted
        assert (estimator.parameters(found) < 1.0).item() is adopted
