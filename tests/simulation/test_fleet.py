"""Fleets of wrong plants, and other people's environments: black boxes for fine-tuning."""

import sys
from dataclasses import fields, replace

import numpy as np
import pytest

from trc_core import SYSTEMS
from trc_core.simulation import Imperfections, make_plant
from trc_core.simulation.fleet import Draw, Fleet, ModelMismatch
from trc_core.simulation.gymnasium_plant import GymnasiumFleet
from trc_core.simulation.plant import Resistance

B = 6
WRONG = ModelMismatch(
    parameter_spread=0.3,
    gain_spread=0.1,
    delay=(0, 3),
    friction=(0.0, 0.05),
    drag=(0.0, 0.1),
    motor_lag=(0.0, 0.05),
)


def drawn(system, wrong=WRONG, repeat=1, count=B, share=1.0):
    return Draw.of(system, wrong, count, np.random.default_rng(1), repeat, share)


def controls(system, ticks):
    return np.random.default_rng(2).uniform(system.u_min, system.u_max, (ticks, B, system.n_u))


@pytest.mark.parametrize('name', ['van_der_pol', 'cartpole', 'pendulum', 'double_integrator'])
@pytest.mark.parametrize('physics', ['system', 'mujoco'])
def test_a_fleet_moves_as_its_plants_one_by_one(name, physics):
    if physics == 'mujoco':
        pytest.importorskip('mujoco')
        if name != 'cartpole':
            return
    system, substeps = SYSTEMS[name], 4
    draw = drawn(system)
    fleet = Fleet(system, draw, substeps, physics=physics)
    x0, _ = system.sample(np.random.default_rng(3), B)
    plants = []
    for b in range(B):
        imperfections = Imperfections(
            input_gain=draw.gain[b, 0],
            actuation_delay=draw.delay[b, 0] * system.dt,
            motor_lag=draw.motor_lag[b, 0],
            friction=draw.friction[b, 0],
            drag=draw.drag[b, 0],
        )
        own = system.with_parameters(**dict(zip(system.parameters, draw.p[b], strict=True)))
        plants.append(make_plant(physics, own, imperfections, system.dt / substeps))
        plants[b].reset(x0[b])
    assert (fleet.reset(x0) == x0).all()
    for u in controls(system, 30):
        expected = [plants[b].step(u[b]) for b in range(B)]
        np.testing.assert_allclose(fleet.step(u), expected, rtol=1e-9, atol=1e-9)


def test_plants_are_drawn_from_what_was_asked():
    system, count = SYSTEMS['cartpole'], 4000
    draw = drawn(system, count=count)
    ratio = draw.p / system.p
    assert 0.7 <= ratio.min() < 0.71 and 1.29 < ratio.max() <= 1.3
    assert abs(np.corrcoef(ratio.T)[0, 1]) < 0.1  # one by one
    assert sorted(np.unique(draw.delay)) == [0, 1, 2, 3]
    assert draw.motor_lag.mean() == pytest.approx(0.025, rel=0.05)
    half = drawn(system, count=count, share=0.5)
    assert np.abs(half.p / system.p - 1).max() <= 0.15
    assert half.delay.mean() == pytest.approx(0.75, rel=0.1)
    nothing = drawn(system, share=0.0)
    assert (nothing.p == system.p).all() and not nothing.delay.any()


def test_members_of_a_group_are_the_same_plant_and_are_pushed_the_same():
    system = SYSTEMS['cartpole']
    draw = drawn(system, replace(WRONG, disturbance=(0.1, 0.1)), repeat=3, count=2)
    for f in fields(Draw):
        groups = getattr(draw, f.name).reshape(2, 3, -1)
        assert (groups == groups[:, :1]).all()
    disturbances = Fleet(system, draw, repeat=3).disturbance().reshape(2, 3)
    assert (disturbances == disturbances[:, :1]).all() and disturbances[0, 0] != disturbances[1, 0]


def test_the_disturbance_has_its_deviation():
    system = SYSTEMS['double_integrator']
    draw = drawn(system, ModelMismatch(disturbance=(0.1, 0.1)), count=50)
    fleet = Fleet(system, draw, seed=4)
    disturbances = np.array([fleet.disturbance() for _ in range(200)])
    assert disturbances.std() == pytest.approx(0.1 * 8.0, rel=0.05)


def test_a_motor_follows_like_the_solution_of_its_equation():
    system, lag = SYSTEMS['double_integrator'], 0.5
    plant = make_plant('system', system, Imperfections(motor_lag=lag), 0.001)
    plant.reset([0.0, 0.0])
    v = plant.step([2.0], 1.0)[1]
    exact = 2.0 * (1.0 - lag * (1 - np.exp(-1.0 / lag)))  # the integral of 2 (1 - exp(-t / lag))
    assert v == pytest.approx(exact, rel=2e-3)


def test_friction_and_drag_take_energy_out():
    system = SYSTEMS['double_integrator']  # the control drives the joint; its range is 8
    resistance = Resistance(system, 0.05, 0.1)
    fast = np.array([[0.0, 2.0], [0.0, -2.0], [0.0, 0.0]])  # one half-width of the box
    expected = [[8 * (0.05 + 0.1)], [-8 * (0.05 + 0.1)], [0.0]]
    np.testing.assert_allclose(resistance(fast), expected, rtol=1e-6)
    plant = make_plant('system', system, Imperfections(friction=0.05), 0.01)
    plant.reset([0.0, 1.0])
    assert plant.step([0.0], 4.0)[1] == pytest.approx(0.0, abs=0.02)  # 8 * 0.05 m/s^2 stops it


def test_the_shape_of_what_comes_in_is_checked():
    system = SYSTEMS['van_der_pol']
    fleet = Fleet(system, drawn(system))
    with pytest.raises(ValueError, match=r'x0 has shape \(2, 2\), expected \(6, 2\)'):
        fleet.reset(np.zeros((2, 2)))
    fleet.reset(np.zeros((B, 2)))
    with pytest.raises(ValueError, match=r'u has shape \(6, 2\), expected \(6, 1\)'):
        fleet.step(np.zeros((B, 2)))


MISTAKES = {
    'parameter_spread is -0.1; choose from [0, 1)': lambda: ModelMismatch(parameter_spread=-0.1),
    'friction is [0.2, 0.1]; write [low, high]': lambda: ModelMismatch(friction=[0.2, 0.1]),
    "unknown physics 'bullet'; choose from ['mujoco', 'system']": lambda: Fleet(
        SYSTEMS['cartpole'], drawn(SYSTEMS['cartpole']), physics='bullet'
    ),
    'leave friction and drag at 0': lambda: Resistance(SYSTEMS['quadrotor_2d'], 0.1, 0.0),
    'friction is -1; choose 0 or more': lambda: Imperfections(friction=-1),
}


@pytest.mark.parametrize('message', MISTAKES)
def test_a_mistake_is_answered_with_what_to_do(message):
    with pytest.raises(ValueError) as caught:
        MISTAKES[message]()
    assert message in str(caught.value)


PENDULUM = {
    'id': 'Pendulum-v1',
    'state': [['angle', 1, 0], ['entry', 2]],
    'start': 'state',
    'action': {'scale': 0.4},
}
CARTPOLE = {
    'id': 'CartPole-v1',
    'state': [['entry', 0], ['entry', 1], ['entry', 2], ['entry', 3]],
    'action': {'discrete': [0.0]},
    'start': 'state',
}


def test_gymnasiums_pendulum_is_seen_and_driven_through_the_mapping():
    pytest.importorskip('gymnasium')
    system = SYSTEMS['pendulum']
    fleet = GymnasiumFleet(system, PENDULUM, B, seed=5)
    x = fleet.reset(np.linspace([-2.0, -1.0], [2.0, 1.0], B))
    np.testing.assert_allclose(x[0], [-2.0, -1.0])
    g, m, length, dt = 10.0, 1.0, 1.0, 0.05  # of Gymnasium's source: semi-implicit Euler
    for u in (np.full((B, 1), 1.5), np.full((B, 1), -5.0)):
        torque = 0.4 * u[:, 0]
        rate = x[:, 1] + dt * (3 * g / (2 * length) * np.sin(x[:, 0]) + 3 * torque / m)
        rate = np.clip(rate, -8, 8)
        expected = np.stack([x[:, 0] + dt * rate, rate], 1)
        x = fleet.step(u)
        np.testing.assert_allclose(x, expected, atol=1e-6)


def test_gymnasiums_cart_pole_ends_a_flight_and_stays_ended():
    pytest.importorskip('gymnasium')
    system = SYSTEMS['cartpole']
    fleet = GymnasiumFleet(system, CARTPOLE, 2)
    upright, leaning = np.zeros(4), np.array([0.0, 0.0, 0.2, 1.0])
    x = fleet.reset(np.array([upright, leaning]))
    for sign in (1.0, -1.0, 1.0):
        x = fleet.step(np.full((2, 1), sign))
    assert np.isfinite(x[0]).all() and np.isnan(x[1]).all()


def test_an_own_environment_can_be_registered():
    gymnasium = pytest.importorskip('gymnasium')

    class Drift(gymnasium.Env):
        """Moves by its action, from where its seed says."""

        observation_space = gymnasium.spaces.Box(-99, 99, (2,), np.float64)
        action_space = gymnasium.spaces.Box(-4.0, 4.0, (1,))

        def reset(self, seed=None, options=None):
            super().reset(seed=seed)
            self.x = self.np_random.uniform(-1, 1, 2)
            return self.x, {}

        def step(self, action):
            self.x = self.x + action[0]
            return self.x, 0.0, False, False, {}

    gymnasium.register('trc/Drift-v0', Drift)
    mapping = {'id': 'trc/Drift-v0', 'state': [['entry', 0], ['entry', 1]]}
    fleet = GymnasiumFleet(SYSTEMS['double_integrator'], mapping, 4, seed=6, repeat=2)
    x = fleet.reset(np.zeros((4, 2)))
    np.testing.assert_array_equal(x[0], x[1])  # a group has one seed
    assert (x[0] != x[2]).all()
    np.testing.assert_allclose(fleet.step(np.full((4, 1), 7.0)), x + 4.0)  # its own bounds hold


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'state': [['entry', 0]]}, 'environment.state has 1 entries'),
        ({'state': [['entry', 7], ['entry', 1]]}, 'observes 3 numbers'),
        ({'state': [['polar', 0], ['entry', 1]]}, "unknown reading 'polar'"),
        ({'id': 'Nope-v9'}, "environment.id is 'Nope-v9'"),
        ({'speed': 1}, 'write id and state'),
        ({'action': {'discrete': [0.0]}}, 'environment.action.discrete has 1 thresholds'),
        ({'action': {'gain': 2.0}}, r"has \['gain'\] left over"),
        ({'start': 'place'}, "environment.start is 'place'"),
        ({'state': [0, 1]}, r'environment.state holds 0; write \[entry, i\] or'),
        ({'state': [['angle', 1], ['entry', 2]]}, r"holds \['angle', 1\]; write \[entry, i\]"),
        ({'state': [['entry', 'x'], ['entry', 2]]}, r"holds \['entry', 'x'\]; write"),
        ({'state': 3}, 'environment.state is 3; write a list of'),
        ({'action': 0.4}, r'environment.action is 0.4; write \{scale, offset\} or'),
        ({'action': {'scale': 'strong'}}, "environment.action.scale is 'strong'; write finite"),
        ({'action': {'discrete': 0.0}}, 'environment.action.discrete is 0.0; write a list'),
        ({'action': {'discrete': [0.0, 'x']}}, 'write finite numbers'),
        ({'action': {'discrete': [1.0, 0.0]}}, 'write a list of rising numbers'),
        ({'options': {'wind': 3}}, "environment.id is 'Pendulum-v1': .*'wind'"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(changes, message):
    pytest.importorskip('gymnasium')
    mapping = {**PENDULUM, 'start': '', **changes}
    with pytest.raises(ValueError, match=message):
        GymnasiumFleet(SYSTEMS['pendulum'], mapping, 1).reset(np.zeros((1, 2)))


def test_without_gymnasium_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'gymnasium', None)
    with pytest.raises(ValueError, match=r"pip install 'trc\[gymnasium\]'"):
        GymnasiumFleet(SYSTEMS['pendulum'], PENDULUM, 1)
