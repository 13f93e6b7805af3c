"""Plants: what lies between a command and the motion, each part against what it should do."""

import sys

import numpy as np
import pytest

from trc_core import SYSTEMS
from trc_core.simulation import Imperfections, in_error, make_plant

STEP = 0.002  # [s]
MUJOCO_TOLERANCE = 1e-9  # after 1 s; both integrate by RK4, in 2 ms steps
CARTPOLES = ('cartpole', 'cartpole_swingup')


def commands(system, count, seed=3):
    """Inside the bounds (count, n_u)."""
    return np.random.default_rng(seed).uniform(system.u_min, system.u_max, (count, system.n_u))


def fly(plant, x0, controls, dt=None):
    """States (T, n_x) behind each control."""
    plant.reset(x0)
    return np.array([plant.step(u, dt) for u in controls])


def initial_state(system, seed=1):
    return system.sample(np.random.default_rng(seed), 1)[0][0]


@pytest.mark.parametrize('name', SYSTEMS)
def test_a_perfect_plant_moves_as_its_system(name):
    system = SYSTEMS[name]
    x = initial_state(system)
    plant, u = make_plant('system', system, integration_step=system.dt), commands(system, 20)
    flown = fly(plant, x, u)
    for k in range(20):
        x = system.step(x, u[k])  # by NumPy; the plant moves by machine code
        np.testing.assert_allclose(flown[k], x, rtol=1e-12, atol=1e-14)


def test_the_integration_is_finer_than_the_period_of_the_controls():
    system = SYSTEMS['pendulum']
    x, u = np.array([3.0, 2.0]), np.array([1.0])
    expected = x
    for _ in range(10):
        expected = system.step(expected, u, system.dt / 10)
    flown = fly(make_plant('system', system), x, [u])[0]
    np.testing.assert_array_equal(flown, expected)
    assert (flown != system.step(x, u)).any()


@pytest.mark.parametrize('backend', ['system', 'mujoco'])
def test_a_delay_shifts_the_response_exactly(backend):
    if backend == 'mujoco':
        pytest.importorskip('mujoco')
    system = SYSTEMS['cartpole']
    x0, u, late = np.zeros(4), commands(system, 100), 7
    prompt = fly(make_plant(backend, system, None, STEP), x0, u, STEP)
    delayed = make_plant(backend, system, Imperfections(actuation_delay=late * STEP), STEP)
    flown = fly(delayed, x0, u, STEP)
    assert (flown[:late] == 0).all()  # the cart-pole rests under its trim control
    np.testing.assert_array_equal(flown[late:], prompt[:-late])


def test_a_reset_forgets_the_commands_under_way():
    system = SYSTEMS['cartpole']
    plant = make_plant('system', system, Imperfections(actuation_delay=0.1), STEP)
    plant.step([10.0], 0.05)
    plant.reset(np.zeros(4))
    assert (plant.step([0.0], 0.2) == 0).all()


def test_the_trim_control_flies_until_a_delayed_command_arrives():
    system = SYSTEMS['quadrotor_2d']
    hovering = make_plant('system', system, Imperfections(actuation_delay=0.1), 0.01)
    np.testing.assert_allclose(hovering.step(system.u_max, 0.1), 0.0, atol=1e-12)
    assert np.abs(hovering.step(system.u_max, 0.1)).max() > 0.01


def test_physical_parameters_and_the_gain_are_off_by_what_was_asked():
    system = SYSTEMS['pendulum']
    x, u = np.array([1.0, 0.0]), np.array([1.0])
    plant = make_plant('system', system, Imperfections(0.2, input_gain=0.7), system.dt)
    wrong = system.with_parameters(gravity=1.2 * 9.81, damping=1.2 * 0.1)
    np.testing.assert_allclose(fly(plant, x, [u])[0], wrong.step(x, 0.7 * u), rtol=1e-13)
    assert dict(in_error(system, 0.0).parameters) == dict(system.parameters)


@pytest.mark.parametrize('gain', [1.0, 0.5])
def test_commands_saturate_before_the_gain(gain):
    system = SYSTEMS['double_integrator']
    plant = make_plant('system', system, Imperfections(input_gain=gain))
    v = fly(plant, [0.0, 0.0], [[1e9], [-1e9], [-1e9]])[:, 1]
    np.testing.assert_allclose(v, gain * system.dt * np.array([4.0, 0.0, -4.0]), atol=1e-12)


def test_the_bias_is_a_constant_force_that_no_bound_holds():
    system = SYSTEMS['double_integrator']  # +-4
    plant = make_plant('system', system, Imperfections(bias=0.25))
    v = fly(plant, [0.0, 0.0], [[4.0]])[0, 1]
    assert v == pytest.approx(system.dt * (4.0 + 0.25 * 8.0))


def test_the_disturbance_has_its_deviation_and_is_drawn_once_a_period():
    system = SYSTEMS['double_integrator']
    plant = make_plant('system', system, Imperfections(disturbance=0.1), system.dt / 4)
    v = fly(plant, [0.0, 0.0], np.zeros((8000, 1)), system.dt / 4)[:, 1]
    force = (np.diff(v, prepend=0.0) / (system.dt / 4)).reshape(-1, 4)
    np.testing.assert_allclose(force, force[:, :1] * np.ones(4), atol=1e-6)
    assert force[:, 0].std() == pytest.approx(0.1 * 8.0, rel=0.1)
    assert np.corrcoef(force[1:, 0], force[:-1, 0])[0, 1] == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize('backend', ['system', 'mujoco'])
def test_the_seed_decides_every_byte(backend):
    if backend == 'mujoco':
        pytest.importorskip('mujoco')
    system = SYSTEMS['cartpole']
    u = commands(system, 50)

    def flown(seed):
        imperfections = Imperfections(0.05, 0.9, 0.01, 0.2)
        plant = make_plant(backend, system, imperfections, STEP, seed)
        return fly(plant, initial_state(system), u).tobytes()

    assert flown(1) == flown(1) != flown(2)


@pytest.mark.parametrize('name', CARTPOLES)
@pytest.mark.parametrize('error', [0.0, 0.3])
@pytest.mark.parametrize('forced', [False, True], ids=['free fall', 'forced'])
def test_mujoco_agrees_with_our_equations_over_a_second(name, error, forced):
    pytest.importorskip('mujoco')
    system, imperfections = SYSTEMS[name], Imperfections(error)
    x0 = np.array([0.3, -0.2, 0.4, 0.5])
    u = forced * commands(system, 25)
    ours = fly(make_plant('system', system, imperfections, STEP), x0, u)
    theirs = fly(make_plant('mujoco', system, imperfections, STEP), x0, u)
    assert np.abs(ours[-1] - x0).max() > 0.5  # something happened
    np.testing.assert_allclose(theirs, ours, atol=MUJOCO_TOLERANCE)


def test_every_parameter_reaches_the_mujoco_model():
    pytest.importorskip('mujoco')
    system, x, u = SYSTEMS['cartpole'], np.array([0.0, 0.3, 0.5, -0.4]), np.array([[3.0]])
    flown = [fly(make_plant('mujoco', system), x, u)[0]]
    for name, value in system.parameters.items():
        changed = system.with_parameters(**{name: 1.4 * value})
        flown.append(fly(make_plant('mujoco', changed), x, u)[0])
        np.testing.assert_allclose(
            flown[-1], fly(make_plant('system', changed), x, u)[0], atol=MUJOCO_TOLERANCE
        )
    assert len({state.tobytes() for state in flown}) == 5


MISTAKES = {
    "unknown plant backend 'gazebo'; choose from ['mujoco', 'system']": lambda system: make_plant(
        'gazebo', system
    ),
    "no model of 'van_der_pol'; choose the system 'cartpole'": lambda system: make_plant(
        'mujoco', SYSTEMS['van_der_pol']
    ),
    'dt is 0.003 s; choose a multiple of 0.002 s': lambda system: make_plant(
        'system', system, integration_step=0.002
    ).step([0.0], 0.003),
    'the control is [nan]; give 1 finite values': lambda system: make_plant('system', system).step(
        [np.nan]
    ),
    'the state is [0.0]; give 2 finite values': lambda system: make_plant('system', system).reset(
        [0.0]
    ),
    'actuation_delay is -1; choose 0 or more': lambda system: Imperfections(actuation_delay=-1),
    'integration_step is -1 s; choose a positive time': lambda system: make_plant(
        'system', system, integration_step=-1
    ),
}


@pytest.mark.parametrize('message', MISTAKES)
def test_a_mistake_is_answered_with_what_to_do(message):
    with pytest.raises(ValueError) as caught:
        MISTAKES[message](SYSTEMS['double_integrator'])
    assert message in str(caught.value)


def test_without_mujoco_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mujoco', None)
    with pytest.raises(ValueError, match=r"pip install 'trc\[mujoco\]'"):
        make_plant('mujoco', SYSTEMS['cartpole'])
