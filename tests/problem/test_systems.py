"""Physics written once: every reader of the equations says the same, and it is true."""

import copy
import json
import math
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import casadi as ca
import numpy as np
import pytest
import sympy as sp
import torch
from scipy.integrate import solve_ivp

import trc_core
from trc_core.compile.binding import plant_of
from trc_core.compile.casadi_reader import casadi_step
from trc_core.compile.kernels import compiled
from trc_core.compile.torch_reader import torch_step
from trc_core.numerics.rollout import Trajectory, plain, rollout
from trc_core.systems import SYSTEMS, Joint, System, get_system
from trc_core.systems.double_integrator import multi_axis, with_timing


def pendulum_dynamics(x, u, length):
    return [x[1], 9.81 / length * sp.sin(x[0]) + u[0]]


def own_system(**changes):
    """A system that does not ship, as a user would write it."""
    values = {
        'name': 'my_pendulum',
        'dynamics': pendulum_dynamics,
        'state_names': ('angle', 'rate'),
        'state_units': ('rad', 'rad/s'),
        'control_names': ('torque',),
        'control_units': ('N m',),
        'joints': (Joint('hinge', 0, 1, 0),),
        'dt': 0.05,
        'horizon': 20,
        'u_min': [-5.0],
        'u_max': [5.0],
        'Q': [10.0, 1.0],
        'R': [0.1],
        'x0_box': [1.0, 1.0],
        'goal_box': [0.0, 0.0],
        'parameters': {'length': 1.0},
    }
    return System(**{**values, **changes})


PLANTS = [*SYSTEMS.values(), multi_axis(2), own_system()]
every_plant = pytest.mark.parametrize('system', PLANTS, ids=lambda s: s.name)


def points(system, n=20):
    rng = np.random.default_rng(1)
    x, _ = system.sample(rng, n)
    return x, rng.uniform(system.u_min, system.u_max, (n, system.n_u))


def compiled_step(system, x, u):
    """One step in machine code: a plan of horizon one."""
    trajectory = Trajectory(np.empty((2, system.n_x)), np.empty((1, system.n_u)))
    K = np.zeros((1, system.n_u, system.n_x))
    v, r = (u - system.u_trim)[None], np.zeros((2, system.n_x))
    compiled(rollout)(plant_of(system), plain(K), v, x, r, trajectory)
    return trajectory.x[1]


@every_plant
def test_python_numba_torch_and_casadi_take_the_same_step(system):
    x, u = points(system)
    in_torch = torch_step(system)(torch.from_numpy(x), torch.from_numpy(u)).numpy()
    in_casadi = casadi_step(system)
    for i in range(len(x)):
        expected = system.step(x[i], u[i])
        np.testing.assert_allclose(compiled_step(system, x[i], u[i]), expected, atol=1e-10)
        np.testing.assert_allclose(in_torch[i], expected, atol=1e-10)
        np.testing.assert_allclose(np.array(in_casadi(x[i], u[i])).ravel(), expected, atol=1e-10)


@every_plant
def test_jacobians_equal_those_of_torch_and_casadi(system):
    x, u = points(system)
    step = torch_step(system)
    symbol_x, symbol_u = ca.SX.sym('x', system.n_x), ca.SX.sym('u', system.n_u)
    next_x = casadi_step(system)(symbol_x, symbol_u)
    jacobian = ca.Function(
        'jacobian',
        [symbol_x, symbol_u],
        [ca.jacobian(next_x, symbol_x), ca.jacobian(next_x, symbol_u)],
    )
    for x_i, u_i in zip(x, u, strict=True):
        ours = system.step_jacobian(x_i, u_i)
        inputs = torch.from_numpy(x_i), torch.from_numpy(u_i)
        theirs = torch.autograd.functional.jacobian(step, inputs)
        for M, in_torch, in_casadi in zip(ours, theirs, jacobian(x_i, u_i), strict=True):
            np.testing.assert_allclose(M, in_torch.numpy(), atol=1e-10)
            np.testing.assert_allclose(M, np.array(in_casadi), atol=1e-10)


@every_plant
def test_jacobians_are_the_slopes_of_the_step(system):
    (x,), (u,) = points(system, 1)
    A, B = system.step_jacobian(x, u)
    h = 1e-6
    for i, e in enumerate(np.eye(system.n_x)):
        slope = (system.step(x + h * e, u) - system.step(x - h * e, u)) / (2 * h)
        np.testing.assert_allclose(A[:, i], slope, atol=1e-8)
    for i, e in enumerate(np.eye(system.n_u)):
        slope = (system.step(x, u + h * e) - system.step(x, u - h * e)) / (2 * h)
        np.testing.assert_allclose(B[:, i], slope, atol=1e-8)


def test_the_double_integrator_is_integrated_exactly():
    system = SYSTEMS['double_integrator']
    (p, v), a, dt = (0.3, -1.2), 2.5, system.dt
    expected = [p + v * dt + a * dt**2 / 2, v + a * dt]
    np.testing.assert_allclose(system.step([p, v], [a]), expected, rtol=1e-14)


def test_the_van_der_pol_step_follows_the_differential_equation():
    system = SYSTEMS['van_der_pol']
    x, u = np.array([1.2, -0.7]), 0.8
    truth = solve_ivp(
        lambda _, s: [s[1], (1 - s[0] ** 2) * s[1] - s[0] + u],
        (0, system.dt),
        x,
        rtol=1e-11,
        atol=1e-12,
    )
    np.testing.assert_allclose(system.step(x, [u]), truth.y[:, -1], atol=1e-6)


def test_a_step_of_another_length_can_be_taken():
    system = SYSTEMS['van_der_pol']
    x, u = np.array([1.0, 0.5]), np.array([0.2])
    halves = system.step(system.step(x, u, dt=0.025), u, dt=0.025)
    np.testing.assert_allclose(halves, system.step(x, u), atol=1e-6)


def test_two_axes_are_two_independent_axes():
    one, two = SYSTEMS['double_integrator'], multi_axis(2)
    x_next = two.step([0.1, 0.2, 0.3, 0.4], [1.0, -2.0])
    np.testing.assert_allclose(x_next[[0, 2]], one.step([0.1, 0.3], [1.0]), rtol=1e-14)
    np.testing.assert_allclose(x_next[[1, 3]], one.step([0.2, 0.4], [-2.0]), rtol=1e-14)
    assert get_system('double_integrator_2_axes').contract() == two.contract()


BLOCKED = """
import sys
for library in ('sympy', 'casadi', 'torch'):
    sys.modules[library] = None  # importing it fails
from trc_core.compile.binding import plant_of
from trc_core.systems import SYSTEMS
for name, system in SYSTEMS.items():
    assert plant_of(system).dynamics.step != 0
    print(name, system.graph.digest, *system.step(0.1 + 0 * system.x0_box, system.u_trim + 0.1))
"""


def test_shipped_systems_need_neither_sympy_nor_casadi():
    environment = {**os.environ, 'PYTHONPATH': str(Path(trc_core.__file__).parents[1])}
    command = [sys.executable, '-c', BLOCKED]
    printed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    lines = [line.split() for line in printed.stdout.splitlines()]
    assert [name for name, *_ in lines] == list(SYSTEMS)
    for name, digest, *x_next in lines:
        system = SYSTEMS[name]
        assert digest == system.graph.digest
        expected = system.step(0.1 + 0 * system.x0_box, system.u_trim + 0.1)
        np.testing.assert_allclose([float(text) for text in x_next], expected, rtol=1e-15)


def test_machine_code_is_shared_only_where_the_equations_are_the_same():
    cartpole, swingup = SYSTEMS['cartpole'], SYSTEMS['cartpole_swingup']
    assert cartpole.graph.digest == swingup.graph.digest
    assert plant_of(cartpole).dynamics.step == plant_of(swingup).dynamics.step
    one, two = multi_axis(1), multi_axis(2)
    assert one.graph.digest != two.graph.digest
    assert plant_of(one).dynamics.step != plant_of(two).dynamics.step


@pytest.mark.parametrize('name', sorted(SYSTEMS))
def test_a_system_is_found_under_its_name(name):
    assert get_system(name).name == name


def test_an_unknown_system_is_an_error_that_names_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown system 'vdp'.*double_integrator.*van_der_pol"):
        get_system('vdp')


def test_a_parameter_that_is_no_finite_number_is_refused():
    with pytest.raises(ValueError, match="'van_der_pol': parameter 'mu' is nan"):
        SYSTEMS['van_der_pol'].with_parameters(mu=float('nan'))


def test_parameters_can_be_overridden():
    free = SYSTEMS['van_der_pol'].with_parameters(mu=0.0)
    assert free.contract()['parameters'] == {'mu': 0.0}
    # Without its nonlinear term the plant is the harmonic oscillator.
    t = free.dt
    np.testing.assert_allclose(free.step([1.0, 0.0], [0.0]), [np.cos(t), -np.sin(t)], atol=1e-7)


def test_an_unknown_parameter_is_an_error_that_names_the_known_ones():
    with pytest.raises(ValueError, match=r"no parameter \['nu'\]; choose from \['mu'\]"):
        SYSTEMS['van_der_pol'].with_parameters(nu=1.0)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'u_min': [-1.0, -1.0]}, r'u_min has shape \(2,\), expected \(1,\)'),
        ({'x0_box': [1.0]}, r'x0_box has shape \(1,\), expected \(2,\)'),
        ({'Q': [1.0, 1.0, 1.0]}, r'Q has shape \(3,\), expected \(2,\) or \(2, 2\)'),
        ({'u_min': [6.0]}, "u_min must lie below u_max; for 'torque' they are 6 and 5"),
        ({'u_trim': [7.0]}, "u_min and u_max; for 'torque' it is 7, outside -5 to 5"),
        ({'R': [0.0]}, "R must be positive definite; the entry of 'torque' is not"),
        ({'R': [np.nan]}, r'R is \[nan\]; only finite numbers'),
        ({'Q': [1.0, -1.0]}, "Q must be positive semi-definite; the entry of 'rate' is not"),
        ({'Q': [[1.0, 2.0], [2.0, 1.0]]}, 'Q must be positive semi-definite$'),
        ({'Q_f': [-1.0, 1.0]}, "Q_f must be positive semi-definite; the entry of 'angle' is not"),
        *(
            ({'parameters': {name: 1.0}}, f"parameter '{name}' has a name that code cannot use")
            for name in ('lambda', 'class', 'None', 'two words', '2nd', 'a-b', 'x')
        ),
        ({'dt': 0.0}, 'dt and horizon must be positive'),
        ({'horizon': 0}, 'dt and horizon must be positive'),
        ({'state_units': ('rad',)}, 'one unit per state'),
        ({'u_min': [-np.inf]}, r'u_min is \[-inf\]; only finite numbers'),
        ({'u_max': ['strong']}, r"u_max is \['strong'\]; write numbers"),
        ({'u_trim': [np.nan]}, r'u_trim is \[nan\]; only finite numbers'),
        ({'x0_box': [np.nan, 1.0]}, r'x0_box is \[nan, 1.0\]; only finite numbers'),
        ({'x0_box': [-1.0, 1.0]}, r'x0_box is \[-1.0, 1.0\]; write half-widths'),
        ({'goal_box': [0.0, -0.1]}, r'goal_box is \[0.0, -0.1\]; write half-widths'),
        ({'Q': [np.nan, 1.0]}, r'Q is \[nan, 1.0\]; only finite numbers'),
        ({'Q_f': [np.inf, 1.0]}, r'Q_f is \[inf, 1.0\]; only finite numbers'),
        ({'dt': np.nan}, 'dt is nan; only finite numbers'),
        ({'horizon': 40.5}, 'horizon is 40.5; write a whole number of steps'),
        ({'state_names': ('angle', 'angle')}, "state_names hold 'angle' twice"),
        ({'control_names': 'torque'}, r"control_names is the text 'torque'; write \('torque',\)"),
        ({'control_names': (), 'control_units': ()}, 'one unit per state and per control'),
        ({'joints': (Joint('hinge', 2),)}, "the position of joint 'hinge' is 2; .* 0 to 1"),
        ({'joints': (Joint('hinge', effort=-1),)}, "the effort of joint 'hinge' is -1; .* 0 to 0"),
        ({'joints': (Joint('hinge', 0), Joint('hinge', 1))}, "joints hold 'hinge' twice"),
        ({'joints': Joint('hinge', 0)}, r"joints hold 'hinge'; write \(Joint\("),
        ({'name': 'my arm/ü'}, 'name may hold at most 64 letters, digits and underscores'),
        ({'name': 'my' * 33}, 'name may hold at most 64 letters, digits and underscores'),
        ({'parameters': {'length': np.nan}}, "parameter 'length' is nan; only finite numbers"),
        ({'parameters': {'lambda': 1.0}}, "parameter 'lambda' has a name that code cannot use"),
        ({'parameters': {'a b': 1.0}}, "parameter 'a b' has a name that code cannot use"),
        ({'parameters': {'x': 1.0}}, "parameter 'x' has a name that code cannot use"),
        ({'parameters': {'u': 1.0}}, "parameter 'u' has a name that code cannot use"),
    ],
)
def test_an_impossible_system_is_refused(changes, message):
    with pytest.raises(ValueError, match=message) as error:
        own_system(**changes)
    assert str(error.value).startswith("system '")


def test_numbers_of_any_kind_are_kept_as_plain_ones():
    system = own_system(dt=np.float32(0.5), horizon=np.int64(20), state_names=['angle', 'rate'])
    assert (type(system.dt), type(system.horizon)) == (float, int)
    json.dumps(system.contract())


@pytest.mark.parametrize('name', ['dt', 'p', 'x0', 'np', 'sin', 'dynamics', 'step', 'A', 'self'])
def test_a_parameter_may_have_any_name_that_is_no_keyword(name):
    named = own_system(
        dynamics=lambda x, u, **p: [x[1], 9.81 / p[name] * np.sin(x[0]) + u[0]],
        parameters={name: 2.0},
    )
    x, u = points(named, 3)
    expected = own_system(parameters={'length': 2.0})
    np.testing.assert_allclose(named.step(x, u), expected.step(x, u), rtol=1e-14)
    for x_i, u_i in zip(x, u, strict=True):
        ours = compiled_step(named, x_i, u_i)
        np.testing.assert_allclose(ours, expected.step(x_i, u_i), rtol=1e-12)


def with_math(x, u, length):
    return [x[1], math.sin(x[0])]


@pytest.mark.parametrize(
    ('dynamics', 'message'),
    [
        (lambda x, u, length: [x[1]], 'returns 1 expressions, expected 2'),
        (lambda x, u, length: [x[1], missing], r"in line \d+: NameError: name 'missing'"),  # noqa: F821
        (
            with_math,
            r'NumPy symbols in line \d+: UnknownValueError: .*write numpy.sin\(x\), not math.sin',
        ),
        (lambda x, u: [x[1], u[0]], 'fail on NumPy symbols: TypeError: .*length'),
        (lambda x, u, length: None, 'returns None, expected 2 expressions'),
        (lambda x, u, length: sys.exit(3), r'in line \d+: SystemExit: 3'),
        (lambda x, u, length: [x[1], 'fast'], 'returns fast, which is no number'),
        (lambda x, u, length: [x[1], sp.Symbol('g')], r"unknown symbols \['g'\]"),
    ],
)
def test_dynamics_that_fail_are_named(dynamics, message):
    with pytest.raises(ValueError, match=message) as error:
        _ = own_system(dynamics=dynamics).graph
    assert str(error.value).startswith("dynamics of 'my_pendulum' ")


def test_other_timing_keeps_the_plant():
    system = with_timing(SYSTEMS['double_integrator'], time_horizon=2.0, num_steps=10)
    assert (system.dt, system.horizon) == (0.2, 10)
    with pytest.raises(ValueError, match='must be positive'):
        with_timing(system, 0.0, 10)


@every_plant
def test_samples_fill_the_boxes_and_stay_inside(system):
    x0, goal = system.sample(np.random.default_rng(0), 2000)
    assert np.all(np.abs(x0) <= system.x0_box)
    assert np.all(np.abs(goal) <= system.goal_box)
    assert np.all(np.abs(x0).max(0) > 0.99 * system.x0_box)


@every_plant
def test_a_copied_or_pickled_system_is_the_same_plant(system):
    (x,), (u,) = points(system, 1)
    expected = system.step(x, u)
    plant_of(system)  # what is kept of it elsewhere does not come along
    for twin in (copy.deepcopy(system), pickle.loads(pickle.dumps(system)), replace(system)):
        assert twin.contract() == system.contract()
        np.testing.assert_array_equal(twin.step(x, u), expected)
