"""What users of CasADi have becomes a System, as it is, or a line says what to give instead."""

import json
import subprocess
import sys
from pathlib import Path

import casadi as ca
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trc_core import Controller, System
from trc_core.problem.record import system_from_record, system_record
from trc_core.problem.trace import Signature, dynamics_graph

ROOT = Path(__file__).parents[2]
TASK = {
    'dt': 0.1,
    'horizon': 20,
    'u_min': [-3.0],
    'u_max': [3.0],
    'Q': [1.0, 0.1],
    'R': [0.1],
    'x0_box': [1.0, 1.0],
    'goal_box': [0.5, 0.0],
}
VALUES = {'mass': 0.8, 'gravity': 3.0}
X, U, P = (np.array(values) for values in ([0.4, -0.7], [0.3], [0.8, 3.0]))
x, u, p = ca.MX.sym('x', 2), ca.MX.sym('u'), ca.MX.sym('p', 2)
PENDULUM = ca.vertcat(x[1], u / p[0] - p[1] * ca.sin(x[0]))
NONE = ca.MX.sym('none', 0)


def pendulum(x, u, mass, gravity):
    return [x[1], u[0] / mass - gravity * np.sin(x[0])]


def rate_of(system):
    return system.derivative(X, U)


def test_an_ode_plans_as_the_same_plant_in_numpy():
    function = ca.Function('pendulum', [x, u, p], [PENDULUM], ['x', 'u', 'p'], ['xdot'])
    system = System.from_casadi(function, parameters=VALUES, **TASK)
    names = {key: getattr(system, key) for key in ('name', 'state_names', 'control_names')}
    assert list(names.values()) == ['pendulum', ('x_0', 'x_1'), ('u',)]
    units = {'state_units': ('1', '1'), 'control_units': ('1',), 'joints': ()}
    truth = System(dynamics=pendulum, parameters=VALUES, **names, **units, **TASK)
    ours, theirs = (Controller.classical(plant) for plant in (system, truth))
    rng = np.random.default_rng(0)
    for start, goal in zip(*truth.sample(rng, 5), strict=True):
        changed = {'mass': rng.uniform(0.5, 1.5)}
        found = ours.plan(start, goal, parameters=changed)
        expected = theirs.plan(start, goal, parameters=changed)
        assert found.cost == pytest.approx(expected.cost, rel=1e-12)
        np.testing.assert_allclose(found.controls, expected.controls, atol=1e-9)


FUNCTIONS = {
    'by their places': ([x, u, p], ['i0', 'i1', 'i2'], ['o0']),
    'in another order': ([p, u, x], ['p', 'u', 'x'], ['xdot']),
    'as do-mpc calls them': (
        [x, u, NONE, NONE, p, NONE],
        ['_x', '_u', '_z', '_tvp', '_p', '_w'],
        ['_rhs'],
    ),
    'by other names': ([x, u, p], ['angle', 'torque', 'constants'], ['f']),
}


@pytest.mark.parametrize('text', FUNCTIONS)
def test_inputs_are_known_by_name_or_by_place(text):
    inputs, names, outputs = FUNCTIONS[text]
    function = ca.Function('f', inputs, [PENDULUM], names, outputs)
    system = System.from_casadi(function, parameters=VALUES, **TASK)
    np.testing.assert_allclose(rate_of(system), pendulum(X, U, **VALUES), rtol=1e-12)


def test_states_and_controls_are_called_like_the_inputs_or_as_the_user_says():
    function = ca.Function('f', [x, u, p], [PENDULUM], ['angle', 'torque', 'p'], ['xdot'])
    system = System.from_casadi(function, parameters=[0.8, 3.0], **TASK)
    assert (system.state_names, system.control_names) == (('angle_0', 'angle_1'), ('torque',))
    assert dict(system.parameters) == {'p_0': 0.8, 'p_1': 3.0}
    named = System.from_casadi(
        function, parameters=VALUES, name='mine', state_names=('q', 'w'), **TASK
    )
    assert (named.name, named.state_names) == ('mine', ('q', 'w'))


@settings(max_examples=25, deadline=None)
@given(
    n_x=st.integers(1, 5),
    n_u=st.integers(1, 4),
    n_p=st.integers(0, 3),
    rows=st.lists(st.booleans(), min_size=4, max_size=4),
    mx=st.booleans(),
    order=st.permutations('xup'),
    discrete=st.booleans(),
)
def test_functions_of_any_sizes_are_what_casadi_evaluates(
    n_x, n_u, n_p, rows, mx, order, discrete
):
    """Rows or columns, SX or MX, in any order."""
    sym = (ca.MX if mx else ca.SX).sym
    sizes, lying = {'x': n_x, 'u': n_u, 'p': n_p}, dict(zip('xupf', rows, strict=True))
    symbols = {k: sym(k, 1, n) if lying[k] else sym(k, n) for k, n in sizes.items()}
    a, b, c = (ca.vec(symbols[k]) for k in 'xup')
    found = ca.sin(a) * (1.0 + ca.sum1(c)) + a[::-1] * ca.sum1(b) + ca.sumsqr(b)
    found = found.T if lying['f'] else found
    output = 'x_next' if discrete else 'xdot'
    function = ca.Function('f', [symbols[k] for k in order], [found], list(order), [output])
    wide = {key: [1.0] * n_x for key in ('Q', 'x0_box', 'goal_box')}
    low = {'u_min': [-1.0] * n_u, 'u_max': [1.0] * n_u, 'R': [1.0] * n_u, 'substeps': 1}
    numbers = np.random.default_rng(n_x).normal(size=n_x + n_u + n_p)
    at, held, values = np.split(numbers, [n_x, n_x + n_u])
    system = System.from_casadi(
        function, discrete=discrete, parameters=values, **{**TASK, **wide, **low}
    )
    expected = function(x=at, u=held, p=values)[output].full().ravel()
    moved = system.step(at, held) if discrete else system.derivative(at, held)
    np.testing.assert_allclose(moved, expected, rtol=1e-11, atol=1e-12)


def test_a_discrete_model_as_of_do_mpc_steps_as_casadi_does():
    """Two oscillating masses in discrete time, with the names that do-mpc gives."""
    A, B = np.array([[0.763, 0.46], [-0.899, 0.763]]), np.array([0.014, 0.063])
    inputs, names = [x, u, NONE, NONE, NONE, NONE], ['_x', '_u', '_z', '_tvp', '_p', '_w']
    function = ca.Function('masses', inputs, [A @ x + B * u], names, ['_rhs'])
    system = System.from_casadi(function, discrete=True, **TASK)
    np.testing.assert_allclose(system.step(X, U), A @ X + B * U[0], rtol=1e-12)
    plan, state = Controller.classical(system).plan(X, [0.0, 0.0]), X
    for t in range(system.horizon):
        np.testing.assert_allclose(plan.states[t], state, atol=1e-9)
        state = A @ state + B * plan.controls[t, 0]


WITHOUT = """
import json, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('casadi', 'sympy', 'torch'):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
from trc_core import Controller
from trc_core.problem.record import system_from_record

system = system_from_record(json.load(sys.stdin))
print(json.dumps(Controller.classical(system).plan([0.4, -0.7], [0.0, 0.0]).controls.tolist()))
"""


def test_a_process_without_casadi_flies_the_record():
    function = ca.Function('f', [x, u, p], [x + 0.1 * PENDULUM], ['x', 'u', 'p'], ['x_next'])
    system = System.from_casadi(function, discrete=True, parameters=VALUES, **TASK)
    record = json.dumps(system_record(system))
    assert system_from_record(json.loads(record)).digest == system.digest
    done = subprocess.run(
        [sys.executable, '-c', WITHOUT], input=record, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    here = Controller.classical(system).plan(X, [0.0, 0.0]).controls
    np.testing.assert_allclose(json.loads(done.stdout), here, atol=1e-12)


LOOKUP = ca.interpolant('table', 'linear', [np.linspace(-1, 1, 5)], np.arange(5.0))
INTEGRATOR = ca.integrator('rk', 'rk', {'x': x, 'u': u, 'p': p, 'ode': PENDULUM}, 0, 0.1)
INVERTED = ca.inv(ca.diag(x) + ca.MX.ones(2, 2)) @ x + u
SOLVING = ca.Function('solving', [x, u], [INVERTED])
MATRIX = ca.MX.sym('x', 2, 2)
LEAST = ca.vertcat(x[1], u)
REFUSED = [
    ([x, u, p], [PENDULUM], None, {}, "'f': takes 2 parameters, but 0 are given; write parame"),
    ([x, u], [LEAST], None, {'parameters': [1.0]}, 'takes 0 parameters, but 1 are given'),
    ([x], [x], None, {}, r"takes \['i0'\], expected x, u and perhaps p"),
    ([x, u, p, ca.MX.sym('more', 2)], [x], None, {}, 'expected x, u and perhaps'),
    ([x, u, p], [LEAST], (['x', 'u', 't'], ['f']), {}, "put numbers in the place of 't'"),
    ([p, u, x], [LEAST], (['a', 'u', 'x'], ['f']), {}, 'call all of them by name'),
    ([MATRIX, u], [MATRIX], None, {}, "takes 'i0' as 2 by 2 entries; make it a vector"),
    ([x, u], [ca.vertcat(x, u)], None, {}, "gives 3 values as 'o0' for 2 states"),
    ([x, u], [LEAST, x], None, {}, r"gives \['o0', 'o1'\], expected one of them called 'xdot'"),
    ([x, u], [LEAST], (['x', 'u'], ['x_next']), {}, 'write discrete=True'),
    ([x, u], [LEAST], (['x', 'u'], ['xdot']), {'discrete': True}, 'write discrete=False'),
    ([x, u], [LEAST], None, {'state_names': ('q',)}, r"needs 2 state_names, but they are \('q'"),
    ([x, u], [ca.vertcat(LOOKUP(x[0]), u)], None, {}, r"cannot be expanded: 'table' \(Lin"),
    ([x, u], [INVERTED], None, {}, 'cannot be expanded: LinsolQr has no expression; write it wi'),
    (
        *([x, u, p], [INTEGRATOR(x0=x, u=u, p=p)['xf']], None),
        *({'parameters': VALUES}, "'rk' is an integrator; give the ODE itself"),
    ),
]


@pytest.mark.parametrize(('inputs', 'outputs', 'names', 'words', 'message'), REFUSED)
def test_a_function_that_is_no_plant_is_refused_with_what_to_give(
    inputs, outputs, names, words, message
):
    function = ca.Function('f', inputs, outputs, *(names or ()))
    with pytest.raises(ValueError, match=message) as found:
        System.from_casadi(function, **TASK, **words)
    assert '\n' not in str(found.value)


def test_integrators_free_symbols_and_other_things_are_refused():
    with pytest.raises(ValueError, match="'rk': is an integrator; give the ODE itself"):
        System.from_casadi(INTEGRATOR, discrete=True, parameters=VALUES, **TASK)
    free = ca.Function('f', [x, u], [PENDULUM], {'allow_free': True})
    with pytest.raises(ValueError, match=r"has the free symbols \['p'\]; make them inputs"):
        System.from_casadi(free, **TASK)
    with pytest.raises(ValueError, match=r'takes a casadi.Function, not <function pendulum'):
        System.from_casadi(pendulum, **TASK)


SPRING = np.array([[0.0, 1.0], [-2.0, -0.5]])
INNER = ca.Function('inner', [x, u, p], [PENDULUM])


def by_mtimes(x, u, mass, gravity):
    return ca.mtimes(SPRING, x) + ca.vertcat(0, u / mass)


def by_operator(x, u, mass, gravity):
    return SPRING @ x + ca.vertcat(0, u[0] / mass)


def by_slices(x, u, mass, gravity):
    return ca.vertcat(x[1:], -2.0 * x[0] - 0.5 * x[-1] + u / mass)


def by_unpacking(x, u, mass, gravity):
    angle, speed = x
    assert len(u) == 1
    return ca.horzcat(speed, -2.0 * angle - 0.5 * speed + u[0] / mass)


def by_lists(x, u, mass, gravity):
    x = ca.vcat(x)  # which takes lists alone
    return [ca.vertcat(x[1]), ca.mtimes(SPRING[1:], x) + u[0] / mass]


def spring(x, u, mass, gravity):
    return SPRING @ x + np.array([0.0, u[0] / mass])


def by_a_function(x, u, mass, gravity):
    return INNER(x, u, ca.vertcat(mass, gravity))


def with_norms(x, u, mass, gravity):
    drag = ca.norm_2(x) + ca.norm_1(x) + ca.norm_inf(x) + ca.sumsqr(x) + ca.dot(x, x)
    return ca.vertcat(x[1], ca.if_else(x[0] > gravity, u[0], drag) / mass)


def norms(x, u, mass, gravity):
    drag = np.linalg.norm(x) + abs(x).sum() + abs(x).max() + 2.0 * x @ x
    return [x[1], (u[0] if x[0] > gravity else drag) / mass]


@pytest.mark.parametrize(
    ('dynamics', 'truth'),
    [
        *((written, spring) for written in (by_mtimes, by_operator, by_slices)),
        *((written, spring) for written in (by_unpacking, by_lists)),
        *((by_a_function, pendulum), (with_norms, norms)),
    ],
)
@pytest.mark.filterwarnings('ignore::FutureWarning')  # of CasADi's own, about @
def test_dynamics_may_take_states_as_the_vectors_of_casadi(dynamics, truth):
    graph = dynamics_graph('mine', dynamics, Signature(2, 1, tuple(VALUES)))
    found = graph.evaluate([*X, *U, *P])['dynamics']
    np.testing.assert_allclose(found, truth(X, U, *P), rtol=1e-12)


def test_words_of_the_task_take_those_vectors_as_well():
    def constraints(x, goal, mass, **_):
        return {'away': 0.1 - ca.norm_2(x - goal), 'low': x - 5.0 * mass}

    system = System(
        name='task',
        dynamics=by_mtimes,
        parameters=VALUES,
        constraints=constraints,
        residuals=lambda x: ca.mtimes(SPRING, x),
        state_names=('q', 'w'),
        control_names=('u',),
        state_units=('1', '1'),
        control_units=('1',),
        joints=(),
        **TASK,
    )
    terms, goal = system.task.constraints, np.array([0.1, 0.0])
    assert terms.names == ('away', 'low_1', 'low_2')
    found = terms.evaluate(X, U, goal, [*P], 0.0)
    np.testing.assert_allclose(found, [0.1 - np.linalg.norm(X - goal), *(X - 4.0)])
    found = system.task.residuals.evaluate(X, U, goal, [*P], 0.0)
    np.testing.assert_allclose(found, SPRING @ X)


@pytest.mark.parametrize(
    ('dynamics', 'message'),
    [
        (lambda x, u: [x[1], LOOKUP(x[0])], r"cannot be expanded: 'table' \(LinearInterpolant\)"),
        (lambda x, u: SOLVING(x, u), 'cannot be expanded: LinsolQr has no expression'),
        (lambda x, u: ca.mtimes(np.eye(3), x), 'fail on CasADi symbols in line .* incompatible'),
        (lambda x, u: ca.mtimes(x, x.T), 'returns a matrix of 2 by 2'),
    ],
)
def test_what_casadi_cannot_write_out_is_one_line(dynamics, message):
    with pytest.raises(ValueError, match=message):
        dynamics_graph('mine', dynamics, Signature(2, 1, ()))
