"""Systems in discrete time: dynamics that give the state a dt later mean one step, everywhere."""

import json
import math
import time
from dataclasses import replace

import casadi as ca
import control
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trc_core import Controller, Joint, System, get_system
from trc_core.commands import systems as command
from trc_core.compile.binding import functions_of, plant_of, readable_plant_of
from trc_core.compile.casadi_reader import casadi_step
from trc_core.compile.torch_reader import torch_step
from trc_core.flight.adaptation import ParameterEstimator
from trc_core.flight.delay import PendingCommands
from trc_core.flight.holding import resting_state
from trc_core.flight.limits import CommandLimits
from trc_core.flight.pilot import Pilot
from trc_core.flight.safety import Measurement, SafetyMonitor
from trc_core.flight.settings import Settings
from trc_core.numerics.batch import BatchStep
from trc_core.planner.turns import undeclared_angles
from trc_core.problem.comparison import differing_word
from trc_core.problem.input_gains import with_input_gains
from trc_core.problem.linear import from_state_space
from trc_core.problem.record import system_from_record, system_record, with_contract
from trc_core.simulation import Imperfections, make_plant
from trc_core.simulation.fleet import Draw, Fleet, ModelMismatch
from trc_core.solvers.experts import EXPERTS
from trc_core.systems.registry import system_of_record

DT = 0.1
X, U = np.array([0.4, -0.7]), np.array([0.3])


def swinging(x, u, gravity, **_):
    """A pendulum, by the symplectic Euler method: the new speed moves the angle."""
    speed = x[1] + DT * (u[0] - gravity * np.sin(x[0]))
    return [x[0] + DT * speed, speed]


def pendulum(**words):
    """A plant in discrete time, with words of its own."""
    values = {
        'name': 'sampled',
        'dynamics': swinging,
        'discrete': True,
        'parameters': {'gravity': 2.0},
        'state_names': ('angle', 'speed'),
        'state_units': ('rad', 'rad/s'),
        'control_names': ('torque',),
        'control_units': ('N m',),
        'joints': (Joint('axis', 0, 1, 0),),
        'dt': DT,
        'horizon': 20,
        'u_min': [-3.0],
        'u_max': [3.0],
        'Q': [1.0, 0.1],
        'R': [0.1],
        'x0_box': [1.0, 1.0],
        'goal_box': [0.5, 0.0],
    }
    return System(**{**values, **words})


def after(x, u, gravity=2.0):
    """The truth, for numbers."""
    speed = x[1] + DT * (u[0] - gravity * math.sin(x[0]))
    return np.array([x[0] + DT * speed, speed])


def slopes(x):
    """Of `after`, by hand."""
    turn = -DT * 2.0 * math.cos(x[0])
    return np.array([[1.0 + DT * turn, DT], [turn, 1.0]]), np.array([[DT * DT], [DT]])


def test_every_reader_takes_the_step_that_is_written():
    system, rows = pendulum(), np.tile(X, (3, 1))
    np.testing.assert_allclose(system.step(rows, np.tile(U, (3, 1))), [after(X, U)] * 3)
    np.testing.assert_allclose(BatchStep(system)(rows, np.tile(U, (3, 1)))[2], after(X, U))
    found = torch_step(system)(torch.tensor(X), torch.tensor(U))
    np.testing.assert_allclose(found.numpy(), after(X, U))
    np.testing.assert_allclose(ca.DM(casadi_step(system)(X, U)).full()[:, 0], after(X, U))
    for M, N in zip(system.step_jacobian(X, U), slopes(X), strict=True):
        np.testing.assert_allclose(M, N)
    assert system.substeps == 1


@pytest.mark.parametrize('plant', [plant_of, readable_plant_of])
def test_kernels_get_one_step_and_its_slopes(plant):
    dynamics = plant(pendulum()).dynamics
    assert dynamics.unrolled and dynamics.substeps == 1
    assert Controller.classical(pendulum()).plan(X, [0.3, 0.0]).cost > 0.0


def test_a_step_of_any_length_is_one_function():
    """Above the size at which RK4 steps are taken apart."""
    n = 20
    M = np.random.default_rng(0).normal(size=(n, n)) / n

    def dense(x, u):
        bent = [np.sin(sum(M[i, j] * x[j] for j in range(n))) for i in range(n)]
        return [0.9 * x[i] + 0.3 * bent[i] + 0.1 * u[0] for i in range(n)]

    words = {key: tuple(f'{key}{i}' for i in range(n)) for key in ('state_names', 'state_units')}
    wide = {key: np.ones(n) for key in ('Q', 'x0_box', 'goal_box')}
    system = pendulum(dynamics=dense, parameters={}, joints=(), **words, **wide)
    x = np.random.default_rng(1).normal(size=(1, n))
    assert set(functions_of(system)) == {'step', 'step_jacobian'}
    expected = 0.9 * x[0] + 0.3 * np.sin(M @ x[0]) + 0.1 * U[0]
    np.testing.assert_allclose(BatchStep(system)(x, U[None])[0], expected, rtol=1e-12)


def double_integrator(**words):
    """python-control's own discretisation of a double integrator, and its LQR."""
    plant = control.c2d(control.ss([[0, 1], [0, 0]], [[0], [1]], np.eye(2), 0), DT)
    Q, R = np.diag([1.0, 0.1]), np.diag([0.1])
    K, P, _ = control.dlqr(plant, Q, R)
    task = {'u_min': [-1e3], 'u_max': [1e3], 'Q': Q, 'R': R, 'Q_f': P, 'horizon': 30}
    task |= {'x0_box': [1.0, 1.0], 'goal_box': [0.0, 0.0], **words}
    return plant, np.asarray(K), np.asarray(P), from_state_space(plant, 'di', **task)


def test_the_optimum_of_a_discrete_state_space_is_the_lqr_of_python_control():
    plant, K, P, system = double_integrator()
    assert system.discrete and system.dt == DT
    plan, x = Controller.classical(system).plan([1.0, -0.4], [0.0, 0.0]), np.array([1.0, -0.4])
    assert plan.cost == pytest.approx(x @ P @ x, rel=1e-9)
    for t in range(system.horizon):
        u = -K @ x
        np.testing.assert_allclose(plan.controls[t], u, atol=1e-7)
        x = plant.A @ x + plant.B @ u
    np.testing.assert_allclose(plan.states[-1], x, atol=1e-7)


@pytest.mark.parametrize('expert', ['nlp', 'qp', 'ilqr', 'lqr'])
def test_experts_find_that_optimum_as_well(expert):
    _, _, P, system = double_integrator()
    x = np.array([1.0, -0.4])
    plan = EXPERTS[expert].solve(system, x, np.zeros(2))
    assert plan.cost == pytest.approx(x @ P @ x, rel=1e-6)


def test_a_state_space_says_its_dt_or_takes_one():
    plant, _, _, _ = double_integrator()
    with pytest.raises(ValueError, match=r"dt is 0.2 s, but the StateSpace 'di' has a dt of 0.1"):
        double_integrator(dt=0.2)
    unsaid = control.ss(plant.A, plant.B, np.eye(2), 0, True)
    task = {'u_min': [-1], 'u_max': [1], 'Q': [1, 1], 'R': [1], 'horizon': 5}
    task |= {'x0_box': [1, 1], 'goal_box': [0, 0]}
    assert from_state_space(unsaid, 'di', dt=0.3, **task).dt == 0.3


def test_equilibrium_is_the_control_under_which_the_state_stays():
    system = pendulum(u_trim='equilibrium')
    goal = np.array([0.4, 0.0])
    held = system.trims(goal)
    np.testing.assert_allclose(held, [2.0 * math.sin(0.4)], rtol=1e-8)
    np.testing.assert_allclose(system.step(goal, held), goal, atol=1e-12)
    with pytest.raises(ValueError, match=r"'angle' drifts by -0\.168 rad a second"):
        pendulum(u_trim='equilibrium', goal_box=[[1.0, 0.0]] * 2, u_min=[-1e-9], u_max=[1e-9])


def test_the_state_at_rest_nearest_to_one_that_turns_is_found():
    np.testing.assert_allclose(resting_state(pendulum(), X), [0.0, 0.0], atol=1e-8)


def test_a_plant_that_moves_alike_after_a_turn_is_noticed():
    assert undeclared_angles(pendulum(x0_box=[4.0, 1.0])) == ['angle']
    plain = pendulum(x0_box=[4.0, 1.0], dynamics=lambda x, u, gravity: [0.5 * x[0], u[0]])
    assert undeclared_angles(plain) == []


def test_records_say_that_time_is_discrete_and_others_are_as_before():
    system = pendulum()
    record = json.loads(json.dumps(system_record(system)))
    assert record['discrete'] is True
    assert list(record['dynamics']['outputs']) == ['next_state']
    again = system_from_record(record)
    assert again.discrete and again.digest == system.digest
    np.testing.assert_array_equal(again.step(X, U), system.step(X, U))
    stated = system_from_record({**record, 'slopes': system.slopes.record()})
    assert stated.stated_slopes is not None  # as robots have them
    np.testing.assert_allclose(stated.step_jacobian(X, U)[0], slopes(X)[0])
    assert 'discrete' not in replace(system, discrete=False).contract()


def test_a_record_whose_equations_are_of_the_other_time_is_refused():
    record = system_record(pendulum())
    del record['discrete']
    with pytest.raises(ValueError, match=r"equations give {'next_state': 2}"):
        system_from_record(record)
    record['discrete'] = 'yes'
    with pytest.raises(ValueError, match="discrete is 'yes'; write True or False"):
        system_from_record(record)


def test_the_same_formula_in_the_other_time_is_another_plant():
    system = pendulum()
    other = replace(system, discrete=False)
    assert other.digest != system.digest
    assert differing_word(system, other) == 'equations (one of them in discrete time)'
    with pytest.raises(ValueError, match='one of them in discrete time'):
        system_of_record(system_record(system), other)
    assert differing_word(system, pendulum(parameters={'gravity': 3.0})) is None
    with pytest.raises(ValueError, match='made without the discrete time'):
        with_contract(system, other.contract())


def test_gains_of_controls_are_those_of_the_step():
    gained = with_input_gains(pendulum()).with_parameters(torque_gain=1.5)
    np.testing.assert_allclose(gained.step(X, U), after(X, 1.5 * U))


def test_what_makes_no_sense_in_discrete_time_is_one_line():
    with pytest.raises(ValueError, match='substeps is 4 in discrete time; leave it out'):
        pendulum(substeps=4)
    with pytest.raises(ValueError, match='discrete is 1; write True or False'):
        pendulum(discrete=1)
    steps_once = r"'sampled' is in discrete time: it steps once per dt of 0.1 s, not in 0.05 s"
    with pytest.raises(ValueError, match=steps_once):
        pendulum().step(X, U, 0.05)
    with pytest.raises(ValueError, match=steps_once):
        pendulum().step_jacobian(X, U, 0.05)
    with pytest.raises(ValueError, match=steps_once):
        BatchStep(pendulum())(X[None], U[None], seconds=0.05)
    with pytest.raises(ValueError, match=steps_once):
        make_plant('system', pendulum(), integration_step=0.05)
    draw = Draw.of(pendulum(), ModelMismatch(), 1, np.random.default_rng(0))
    fleet = Fleet(pendulum(), draw, substeps=2)
    fleet.reset(X[None])
    with pytest.raises(ValueError, match=steps_once):
        fleet.step(U[None])


@pytest.mark.parametrize('seconds', [None, 0.1, 2.5])
def test_a_step_that_takes_a_time_has_the_slopes_of_that_time(seconds):
    lander = get_system('rocket_landing')  # its own dt is 0.1 s
    x = np.array([1200.0, -400.0, 900.0, -30.0, 5.0, -20.0, 2100.0])
    u = np.array([3000.0, -1000.0, 9000.0])
    A, B = lander.step_jacobian(x, u, seconds)
    for of, values, found in ((0, x, A), (1, u, B)):
        for i, size in enumerate(1e-4 * np.abs(values)):
            ends = [[x.copy(), u.copy()] for _ in range(2)]
            ends[0][of][i] -= size
            ends[1][of][i] += size
            low, high = (lander.step(*end, seconds) for end in ends)
            expected = (high - low) / (2.0 * size)
            np.testing.assert_allclose(found[:, i], expected, rtol=1e-6, atol=1e-9)


def test_the_list_of_systems_says_that_time_is_discrete(tmp_path, capsys):
    (tmp_path / 'mine.py').write_text(
        'from tests.problem.test_discrete import pendulum\nsampled = pendulum()\n'
    )
    command.main([str(tmp_path / 'mine.py')])
    assert '0.1, discrete  20' in capsys.readouterr().out


def test_a_simulated_plant_steps_once_per_dt():
    plant = make_plant('system', pendulum(), Imperfections(actuation_delay=DT))
    plant.reset(X)
    np.testing.assert_allclose(plant.step(U), after(X, [0.0]))
    np.testing.assert_allclose(plant.step([1.0], 2 * DT), after(after(after(X, [0.0]), U), [1.0]))


def test_a_delay_of_whole_steps_is_predicted_by_what_holds_in_each():
    system, t = pendulum(), 5.0
    pending = PendingCommands(system, 2 * DT)
    for k, u in ((-3, 0.5), (-2, 1.0), (-1, -1.0), (0, 2.0)):  # issued 2 ms after each step
        pending.issued(t + k * DT + 0.002, np.array([u]), oldest=0.0)
    predicted = pending.predicted(Measurement(X, t))
    np.testing.assert_allclose(predicted.x, after(after(X, [1.0]), [-1.0]))
    controls, seconds = pending.obeyed(t, t + 1.04 * DT)  # a measurement that came late
    np.testing.assert_array_equal(controls, [[1.0]])
    np.testing.assert_array_equal(seconds, [DT])
    with pytest.raises(ValueError, match=r'input_delay is 0.15 s, .* a multiple of its dt, 0.1 s'):
        PendingCommands(system, 0.15)


@settings(max_examples=60, deadline=None)
@given(offsets=st.lists(st.floats(-0.4, 0.4), min_size=1, max_size=6), delay=st.integers(1, 4))
def test_whatever_the_jitter_of_commands_each_step_obeys_one_of_them(offsets, delay):
    pending = PendingCommands(pendulum(), delay * DT)
    for k, offset in enumerate(offsets):
        pending.issued((k + offset) * DT, np.array([k + 1.0]), oldest=-10.0)
    controls, seconds = pending.obeyed(len(offsets) * DT, (len(offsets) + delay) * DT)
    assert len(controls) == len(seconds) == delay and (seconds == DT).all()
    # Step j obeys the newest command that was issued before its middle, less the delay.
    for j, u in enumerate(controls[:, 0]):
        middle = len(offsets) - delay + j + 0.5
        before = [k + 1.0 for k, offset in enumerate(offsets) if k + offset < middle]
        assert u == (before[-1] if before else 0.0)


def pilot_of(system, period, estimator=None):
    controller = Controller.classical(system)
    limits = CommandLimits.of(system)
    monitor = SafetyMonitor(system, Settings(limits, state_timeout=1.0), controller.lqr_plan)
    return Pilot(controller, monitor, period, time.monotonic, 0.0, estimator)


def test_parameters_are_learned_at_the_rate_of_the_steps():
    system = pendulum()
    estimator = ParameterEstimator(system, noise=[1e-4, 1e-4])
    estimate, x = estimator.prior(), np.array([1.0, 0.0])
    for _ in range(60):
        x_next = after(x, [0.0], gravity=2.4)
        estimate = estimator.update(estimate, x, np.zeros((1, 1)), np.array([DT]), x_next)
        x = x_next
    assert estimator.parameters(estimate)[0] == pytest.approx(2.4, rel=0.01)
    pilot_of(system, 2 * DT, estimator)
    with pytest.raises(ValueError, match=r'the period of the controller is 0\.02 s, but'):
        pilot_of(system, 0.02, estimator)
