"""The number of RK4 steps within a dt: enough for the plant, chosen and said."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

from tests.problem.test_finite import cart
from trc_core.commands import systems as command
from trc_core.data import lqr_generator
from trc_core.problem import accuracy
from trc_core.problem.accuracy import growth_error, note, note_along
from trc_core.problem.record import system_from_record, system_record
from trc_core.systems import System
from trc_core.systems.catalogue import SHIPPED

LAG = 0.005  # [s] of the drive


def lagging(**words):
    """A mass that is pushed by a drive with a lag of 5 ms, planned at 50 ms."""
    given = {
        'dt': 0.05,
        'horizon': 40,
        'u_min': [-5.0],
        'u_max': [5.0],
        'Q': [10.0, 1.0, 0.0],
        'R': [0.1],
        'x0_box': [1.0, 1.0, 1.0],
        'goal_box': [0.0] * 3,
        **words,
    }
    return System(
        name='lag',
        dynamics=lambda x, u: [x[1], x[2], (u[0] - x[2]) / LAG],
        state_names=('p', 'v', 'F'),
        state_units=('m', 'm/s', 'N'),
        control_names=('cmd',),
        control_units=('N',),
        joints=(),
        **given,
    )


@pytest.mark.parametrize('x0_box', [[1.0, 1.0, 1.0], [1.0, 0.0, 0.0], [1e-3, 1e-3, 100.0]])
def test_a_drive_that_is_faster_than_dt_gets_steps_with_the_eigenvalues_of_the_plant(x0_box):
    system = lagging(x0_box=x0_box)
    A = np.array([[0, 1, 0], [0, 0, 1], [0, 0, -1 / LAG]])
    exact = np.linalg.eigvals(scipy.linalg.expm(A * system.dt))
    coarse, _ = replace(system, substeps=1).step_jacobian(np.zeros(3), np.zeros(1))
    assert max(abs(np.linalg.eigvals(coarse))) > 200.0  # what one step makes of it
    chosen, _ = system.step_jacobian(np.zeros(3), np.zeros(1))
    found = np.linalg.eigvals(chosen)
    np.testing.assert_allclose(np.sort(abs(found)), np.sort(abs(exact)), atol=0.01)


def test_a_car_with_stiff_tyres_moves_as_a_stiff_solver_says():
    mass, inertia, arm, stiffness, speed = 2.0, 0.03, 0.125, 60.0, 1.0

    def dynamics(x, u):
        front = stiffness * (u[0] - np.arctan2(x[2] + arm * x[3], speed))
        rear = -stiffness * np.arctan2(x[2] - arm * x[3], speed)
        drift = speed * np.sin(x[1]) + x[2] * np.cos(x[1])
        return [drift, x[3], (front + rear) / mass - speed * x[3], arm * (front - rear) / inertia]

    car = System(
        name='stiff_car',
        dynamics=dynamics,
        state_names=('y', 'yaw', 'slip', 'rate'),
        state_units=('m', 'rad', 'm/s', 'rad/s'),
        control_names=('steer',),
        control_units=('rad',),
        joints=(),
        dt=0.1,
        horizon=20,
        u_min=[-0.4],
        u_max=[0.4],
        Q=[1.0] * 4,
        R=[1.0],
        x0_box=[1.0, 0.5, 0.3, 1.0],
        goal_box=[0.0] * 4,
    )
    assert car.substeps > 1
    rng = np.random.default_rng(3)
    worst = {car.substeps: 0.0, 1: 0.0}
    for x in car.sample(rng, 20)[0]:
        u = rng.uniform(car.u_min, car.u_max)
        exact = scipy.integrate.solve_ivp(
            lambda _, x, u=u: np.array(dynamics(x, u)), (0.0, car.dt), x, 'Radau', rtol=1e-9
        ).y[:, -1]
        for substeps in worst:
            error = np.abs(replace(car, substeps=substeps).step(x, u) - exact) / car.reach
            worst[substeps] = max(worst[substeps], error.max())
    assert worst[car.substeps] < 0.01 < 0.3 < worst[1]


@pytest.mark.parametrize('name', SHIPPED)
def test_shipped_systems_take_one_step_and_say_nothing(name):
    system = SHIPPED[name].system
    assert system.substeps == 1 and note(system) == ''


@pytest.mark.parametrize('z', [-0.1, -2.0 + 1.0j, 0.7, 3.0j])
@pytest.mark.parametrize('count', [1, 4])
def test_the_error_of_growth_is_that_of_rk4_steps_of_one_motion(z, count):
    x, h = 1.0, z / count
    for _ in range(count):
        k1 = h * x
        k2 = h * (x + k1 / 2)
        k3 = h * (x + k2 / 2)
        k4 = h * (x + k3)
        x = x + (k1 + 2 * k2 + 2 * k3 + k4) / 6
    expected = abs(x - np.exp(z)) / max(abs(np.exp(z)), 1.0)
    assert growth_error(np.array([z]), count) == pytest.approx(expected, rel=1e-10)


def test_friction_that_is_steep_only_at_rest_is_found_by_its_slope():
    def dynamics(x, u):
        return [x[1], u[0] - 1e-3 * np.tanh(x[1] / 1e-5)]  # at rest 100 1/s, too weak to be seen

    system = cart(dynamics)
    A, _ = system.step_jacobian(np.zeros(2), np.zeros(1))
    assert system.substeps > 1 and abs(A[1, 1] - np.exp(-5.0)) < 0.01


def test_a_chosen_number_follows_the_plant_and_a_given_one_stays():
    system = lagging()
    assert system.substeps > 1
    assert replace(system, dt=0.001).substeps == 1
    assert replace(system, dt=0.1).substeps > system.substeps
    assert replace(replace(system, substeps=3), dt=0.001).substeps == 3
    assert replace(system, Q=[1.0] * 3).substeps == system.substeps


def test_a_number_that_was_given_is_taken_with_a_warning_where_it_is_too_small():
    enough = int(lagging().substeps)
    assert note(lagging()) == (
        f"{enough} RK4 steps within a dt of 0.05 s: the fastest motion, of 'F', takes 0.005 s"
    )
    assert note(lagging(substeps=2)) == (
        "warning: substeps=2 within a dt of 0.05 s, but the fastest motion, of 'F', takes "
        f'0.005 s; {enough} are needed: write substeps={enough}, or leave it out'
    )
    assert note(lagging(substeps=enough)) == note(lagging(substeps=50)) == ''


def test_a_plant_that_no_sensible_number_serves_is_refused_unless_one_is_given():
    with pytest.raises(
        ValueError, match=r"system 'lag': the fastest motion, of 'F', takes 0\.005"
    ):
        _ = lagging(dt=2.0).substeps
    assert lagging(dt=2.0, substeps=500).substeps == 500
    assert 'not even 64' in note(lagging(dt=2.0, substeps=70))


def test_a_record_holds_the_number_so_that_nothing_is_searched_on_loading(monkeypatch):
    record = system_record(lagging())
    expected = lagging().substeps

    def refuse(*_):
        raise AssertionError('searched')

    monkeypatch.setattr(accuracy, 'need_of', refuse)
    assert system_from_record(record).substeps == record['substeps'] == expected


def test_trajectories_that_leave_the_box_for_a_stiffer_region_are_told_of():
    system = cart(lambda x, u: [x[1], u[0] - 0.2 * x[1] ** 3])
    speeds = np.linspace(0.0, 1.0, 21)
    x = np.stack([speeds, speeds], axis=-1)[None]
    u = np.zeros((1, 20, 1))
    assert system.substeps == 1 and note_along(system, x, u) == ''
    assert 'write substeps=' in note_along(system, 20.0 * x, u)


def test_commands_say_how_many_steps_there_are(tmp_path, capsys):
    path = tmp_path / 'fast.py'
    path.write_text(
        'from trc_core import System\n'
        "fast = System(name='fast', dynamics=lambda x, u: [(u[0] - x[0]) / 0.01],\n"
        "    state_names=('F',), state_units=('N',), control_names=('c',), control_units=('N',),\n"
        '    joints=(), dt=0.05, horizon=5, u_min=[-1.0], u_max=[1.0], Q=[1.0], R=[0.1],\n'
        '    x0_box=[1.0], goal_box=[0.0])\n'
    )
    expected = "RK4 steps within a dt of 0.05 s: the fastest motion, of 'F', takes 0.01 s"
    command.main([str(path)])
    assert f'fast: 5 {expected}' in capsys.readouterr().out
    flags = ['--num_samples', '4', '--expert', 'lqr', '--output_dir', str(tmp_path / 'data')]
    lqr_generator.main(['--system', str(path), *flags])
    assert f'5 {expected}' in capsys.readouterr().out


def test_a_motion_that_turns_within_a_dt_is_found_although_nothing_grows_or_fades():
    def dynamics(x, u):
        return [10.0 * u[0], np.sin(10.0 * x[0])]  # its slopes have no eigenvalue but 0

    system, u = cart(dynamics), np.array([1.0])
    exact = 0.1 + (np.cos(2.0) - np.cos(7.0)) / 100.0
    found = [replace(system, substeps=n).step([0.2, 0.1], u)[1] for n in (1, system.substeps)]
    assert system.substeps > 1
    assert abs(found[1] - exact) < 1e-3 < abs(found[0] - exact)
    assert note(system).endswith('the slopes of the dynamics change much within a dt')
