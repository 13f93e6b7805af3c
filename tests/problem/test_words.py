"""The words of a task mean what they say; a wrong one is a line that says what to write."""

import math
import pickle
from dataclasses import dataclass, replace
from functools import partial

import casadi as ca
import numpy as np
import pytest
import sympy as sp

from trc_core import Controller, Obstacle, System
from trc_core.numerics.cost import constraint_values, trajectory_cost
from trc_core.problem.returned import LONGEST_NAME


def pushed(x, u, mass, **_):
    return [x[1], u[0] / mass]


def cart(**words):
    """A mass on a rail, with words of its own."""
    values = {
        'name': 'cart',
        'dynamics': pushed,
        'state_names': ('position', 'speed'),
        'state_units': ('m', 'm/s'),
        'control_names': ('force',),
        'control_units': ('N',),
        'joints': (),
        'dt': 0.1,
        'horizon': 10,
        'u_min': [-1.0],
        'u_max': [1.0],
        'Q': [1.0, 1.0],
        'R': [0.1],
        'x0_box': [1.0, 1.0],
        'goal_box': [0.5, 0.0],
        'parameters': {'mass': 1.0, 'wall': 0.8},
    }
    return System(**{**values, **words})


def raising(x):
    raise KeyError('gain')


LINE = raising.__code__.co_firstlineno + 1


@dataclass
class WithoutHash:
    """Compares by value, so it has no hash."""

    gain: float = 1.0

    def __call__(self, x):
        return [x[0] - 5]


def constrained(function):
    return {'constraints': function}


WRONG = {
    # what a function returns
    'none': (constrained(lambda x: None), r"returns None; write return {'name': expression}"),
    'nothing': (constrained(lambda x: {}), r"returns nothing; write return {'name': expr"),
    'a text': (constrained(lambda x: 'x < 0'), r"returns 'x < 0'; write return {'name'"),
    'a set': (constrained(lambda x: {x[0]}), r"returns {.*}; write return {'name'"),
    'a named text': (constrained(lambda x: {'a': 'x'}), "returns 'x' as 'a'; write one expr"),
    'a named none': (constrained(lambda x: {'a': None}), "returns None as 'a'; write one"),
    'a NaN': (constrained(lambda x: {'a': math.nan}), "returns nan as 'a'; write a finite"),
    'an infinity': (constrained(lambda x: {'a': x[0] - math.inf}), 'the constant -inf'),
    'a matrix': (
        constrained(lambda x: {'a': np.array([[x[0]] * 2] * 2)}),
        "a matrix of 2 by 2 as 'a'; write a list",
    ),
    'nested lists': (constrained(lambda x: [[x[0]], [x[1]]]), "as '1'; write one expression"),
    'a matrix of CasADi': (
        constrained(lambda x: ca.horzcat(ca.vertcat(*x), ca.sin(ca.vertcat(*x)))),
        'a matrix of 2 by 2 as the whole',
    ),
    'a comparison': (
        constrained(lambda x: {'a': x[0] < 5}),
        "constraint 'a' is a comparison; write an expression that must not exceed 0",
    ),
    'a name twice': (constrained(lambda x: {'a': [x[0]], 'a_1': x[0]}), "returns 'a_1' twice"),
    'a name like a limit': (
        {'constraints': lambda x: {'speed_max': x[0] - 5}, 'x_max': [None, 3.0]},
        "return 'speed_max', which is a limit in x_min or x_max",
    ),
    'a name of two lines': (constrained(lambda x: {'a\nb': x[0]}), 'printable letters'),
    'a long name': (constrained(lambda x: {'a' * (LONGEST_NAME + 1): x[0]}), '1 to 64'),
    'residuals of one name': (
        {'residuals': lambda x: {'a': [x[0]], 'a_1': x[1]}},
        "residuals of 'cart' returns 'a_1' twice",
    ),
    # what it takes and does
    'an unknown argument': (
        constrained(lambda x, wheel: {'a': x[0] - wheel}),
        r"take \['wheel'\]; write some of \['x', 'u', 'goal', 'time', 'mass', 'wall'\]",
    ),
    'an argument by position': (constrained(lambda x, /: {'a': x[0]}), r"take \['x'\]; write"),
    'arguments by position': (constrained(lambda *x: {'a': x[0]}), r"take \['x'\]; write some"),
    'a built-in': (constrained(math.sin), r"take \['x'\]; write some of"),
    'a failure': (constrained(raising), f"symbols in line {LINE}: KeyError: 'gain'"),
    'a branch': (
        constrained(lambda x: {'a': x[0] if x[0] < 5 else 0}),
        'cannot branch on a value that is not known yet; write numpy.where',
    ),
    'no function': (constrained({'a': 1}), r"constraints is {'a': 1}; write a function"),
    'no hash': (constrained(WithoutHash()), 'constraints is WithoutHash.*; write a function'),
    # where it holds
    'violated': (
        constrained(lambda x: {'a': 5 - x[0]}),
        "constraint 'a' is violated everywhere in x0_box",
    ),
    'violated by every draw': (
        {'constraints': lambda wall: {'a': wall}, 'ranges': {'wall': (0.1, 0.2)}},
        "constraint 'a' is violated everywhere in x0_box",
    ),
    'NaN in a half': (
        constrained(lambda x: {'a': np.sqrt(x[0]) - 3}),
        r"constraint 'a' is NaN at \[-0.\d+, .*\] in x0_box; write it so",
    ),
    'a residual that is NaN': (
        {'residuals': lambda x: [np.log(x[0])]},
        r"residual '1' is NaN at \[-0.\d+, .*\] in x0_box",
    ),
    'a last residual that is NaN': (
        {'terminal_residuals': lambda x: [np.log(x[0])]},
        r"terminal residual '1' is NaN at \[-0.\d+, 0\] in goal_box",
    ),
    'a last residual of u': (
        {'terminal_residuals': lambda x, u: [x[0] + u[0]]},
        'terminal_residuals depend on u; there is no control at the end',
    ),
    # limits, boxes, tolerances
    'limits upside down': (
        {'x_min': [0.0, 2.0], 'x_max': [1.0, 1.0]},
        "x_min of 'speed' is 2, which does not lie below its x_max 1",
    ),
    'too few limits': ({'x_min': [0.0]}, r'x_min has shape \(1,\), expected \(2,\)'),
    'a limit that is NaN': ({'x_max': [math.nan, None]}, 'write numbers, or None where'),
    'a start outside': (
        {'x0_box': [[1.0, 0.0], [2.0, 1.0]], 'x_max': [0.5, None]},
        "x0_box of 'position' is 1 to 2, all of it outside x_min and x_max, -inf to 0.5",
    ),
    'a start that only touches': (
        {'x0_box': [[1.0, 0.0], [2.0, 1.0]], 'x_max': [1.0, None]},
        "x0_box of 'position' is 1 to 2, all of it outside",
    ),
    'a box upside down': ({'x0_box': [[1.0, 1.0], [0.0, 2.0]]}, r'write \(low, high\), low f'),
    'a box of three': ({'goal_box': [[0.0, 0.0]] * 3}, r'goal_box has shape \(3, 2\)'),
    'a narrow width': ({'goal_box': [-0.1, 0.0]}, 'goal_box is .*; write half-widths'),
    'no tolerance': (
        {'goal_tolerance': [0.0, 1.0]},
        'goal_tolerance is .*; write numbers above 0',
    ),
    'a negative tolerance': ({'goal_tolerance': [-1.0, 1.0]}, 'write numbers above 0'),
    'one tolerance': ({'goal_tolerance': 0.1}, r'goal_tolerance has shape \(1,\), expected'),
    'a weight of nothing': ({'violation_weight': 0.0}, 'violation_weight is 0.0; write a num'),
    # names
    'an unknown angle': (
        {'angles': ('heading',)},
        r"angles hold \['heading'\]; choose from the states \['position', 'speed'\]",
    ),
    'angles as a text': ({'angles': 'speed'}, r"the text 'speed'; write \('speed',\)"),
    'angles as a number': ({'angles': 1}, 'angles is 1; write some of the states'),
    'an angle in degrees': (
        {'angles': ('position',), 'state_units': ('deg', 'deg/s')},
        "angles hold 'position', which is in deg; state it in rad",
    ),
    'an unknown range': (
        {'ranges': {'wheel': (0.0, 1.0)}},
        r"ranges hold \['wheel'\]; choose from the parameters \['mass', 'wall'\]",
    ),
    'a range upside down': (
        {'ranges': {'mass': (2.0, 1.0)}},
        r"ranges of 'mass' are \(2, 1\); write \(low, high\), low first",
    ),
    'a range of a number': ({'ranges': {'mass': 3.0}}, "ranges of 'mass' has shape"),
    'a range of texts': ({'ranges': {'mass': ('a', 'b')}}, "ranges of 'mass' is .*numbers"),
    'ranges as a list': ({'ranges': [('mass', 1, 2)]}, r"ranges is \[.*; write {'mass': \(0.8"),
    'no ranges': ({'ranges': None}, r"ranges is None; write {'mass': \(0.8, 1.2\)}"),
    'an unknown obstacle': (
        {'obstacles': (Obstacle('mass', 'y', 'wall'),)},
        r"obstacles hold \['y'\]; choose from the parameters \['mass', 'wall'\]",
    ),
    'half an obstacle': ({'obstacles': (Obstacle('mass', None, 'wall'),)}, 'obstacles hold Obst'),
    'an obstacle as a tuple': ({'obstacles': (('mass', 'wall', 'r'),)}, 'write .Obstacle'),
    'one obstacle': ({'obstacles': Obstacle('mass', 'wall', 'r')}, 'obstacles are Obstacle'),
    'a parameter named goal': ({'parameters': {'goal': 1.0}}, "parameter 'goal' has the name of"),
    'a parameter named time': ({'parameters': {'time': 1.0}}, "parameter 'time' has the name of"),
    'a parameter named 1': ({'parameters': {1: 1.0}}, "parameter '1' has a name that code can"),
    # laws and trims
    'a law of two': ({'laws': {'stop': lambda x: [0, 0]}}, "law 'stop' of 'cart' returns 2 con"),
    'a law of u': ({'laws': {'stop': lambda u: [-u[0]]}}, "law 'stop' of 'cart' depends on u"),
    'a law of an unknown': ({'laws': {'stop': lambda k: [k]}}, r"law 'stop' .* take \['k'\]"),
    'a law that is NaN': ({'laws': {'stop': lambda x: [np.log(x[0])]}}, "law 'stop 1' is NaN at"),
    'a law that is a number': ({'laws': {'stop': 0.0}}, "laws hold 'stop': 0.0; write {'stop'"),
    'a law without name': ({'laws': {'': lambda x: [0.0]}}, "laws hold the name ''; write let"),
    'a law named like a start': (
        {'laws': {'lqr': lambda x: [0.0]}},
        "laws hold the name 'lqr'; write letters, digits and underscores, none of",
    ),
    'laws as a list': ({'laws': [lambda x: [0.0]]}, "laws is .*; write {'stop': a function"),
    'a trim of two': ({'u_trim': lambda goal: [0, 0]}, "u_trim of 'cart' returns 2 controls"),
    'a trim of u': ({'u_trim': lambda u: [u[0]]}, "u_trim of 'cart' depends on u"),
    'a trim of x': ({'u_trim': lambda x: [x[0]]}, "u_trim of 'cart' depends on x; write it with"),
    'a trim of time': ({'u_trim': lambda time: [time]}, "u_trim of 'cart' depends on time"),
    'a trim that is NaN': (
        {'u_trim': lambda goal: [np.log(goal[0] - 0.1)]},
        "u_trim gives nan for 'force' in the middle of goal_box",
    ),
    'a trim that is NaN elsewhere': (
        {'u_trim': lambda goal: [0.1 * np.sqrt(goal[0] + 0.2)]},
        "u_trim of 'force' is no finite number everywhere in goal_box",
    ),
    'a trim beyond the bounds': (
        {'u_trim': lambda goal: [goal[0] + 2.0]},
        "u_trim gives 2 for 'force' in the middle of goal_box; it must lie between",
    ),
    'an unknown trim': ({'u_trim': 'balance'}, "u_trim is 'balance'; write numbers, a function"),
    'a trim that fails': ({'u_trim': raising}, "u_trim of 'cart' fail on NumPy symbols in line"),
    'a goal that moves': (
        {'u_trim': 'equilibrium', 'goal_box': [[0.0, 1.0], [0.0, 2.0]]},
        "no control .* holds the middle of goal_box: 'position' drifts by 1.5 m a second",
    ),
    'a goal too heavy to hold': (
        {'u_trim': 'equilibrium', 'dynamics': lambda x, u, mass, **_: [x[1], u[0] - 9.81]},
        "holds the middle of goal_box: 'speed' drifts by -8.81 m/s a second; write a goal_box",
    ),
    'a trim as trim': ({'trim': lambda goal: [0.0]}, 'trim follows from u_trim; write u_trim'),
}


@pytest.mark.parametrize(('words', 'message'), WRONG.values(), ids=WRONG)
def test_a_wrong_word_is_one_line_that_says_what_to_write(words, message):
    with pytest.raises(ValueError, match=message) as refused:
        cart(**words)
    assert '\n' not in str(refused.value) and "'cart'" in str(refused.value)
    assert len(str(refused.value)) < 300


NOTATIONS = {
    'NumPy': (np, lambda *terms: list(terms)),
    'SymPy': (sp, lambda *terms: sp.Matrix(terms)),
    'CasADi': (ca, lambda *terms: ca.vertcat(*terms)),
}


@pytest.mark.parametrize('notation', NOTATIONS)
def test_every_word_may_be_written_in_every_notation(notation):
    library, vector = NOTATIONS[notation]
    stated = cart(
        dynamics=lambda x, u, mass, **_: vector(x[1], library.sin(u[0]) / mass),
        constraints=lambda x, goal, wall: {
            'wall': library.sin(x[0]) - wall,
            'pair': vector(x[1] - 3, goal[0] - library.cos(x[1]) - 1),
        },
        residuals=lambda x, u: vector(library.cos(x[0]), u[0] * x[1]),
        terminal_residuals=lambda x, time: vector(library.exp(x[0]) * time),
        laws={'stop': lambda x, mass: vector(-mass * library.tanh(x[1]))},
        u_trim=lambda goal, mass: vector(0.1 * mass * library.sin(goal[0])),
    )
    assert stated.task.constraints.names == ('wall', 'pair_1', 'pair_2')
    rng = np.random.default_rng(0)
    x, u, r = rng.normal(size=(11, 2)), rng.normal(size=(10, 1)), rng.normal(size=(11, 2))
    wall, first, second = constraint_values(stated, x, u, r)
    np.testing.assert_allclose(wall, np.sin(x[1:, 0]) - 0.8)
    np.testing.assert_allclose(first, x[1:, 1] - 3)
    np.testing.assert_allclose(second, r[1:, 0] - np.cos(x[1:, 1]) - 1)
    plain = replace(stated, residuals=None, terminal_residuals=None)
    added = trajectory_cost(stated, x, u, r) - trajectory_cost(plain, x, u, r)
    squares = np.cos(x[:-1, 0]) ** 2 + (u[:, 0] * x[:-1, 1]) ** 2
    assert added == pytest.approx(squares.sum() + np.exp(x[-1, 0]) ** 2)  # T dt is 1 s
    found = stated.task.laws.evaluate(x, np.zeros((11, 1)), r, list(stated.p), 0.0)
    np.testing.assert_allclose(found[0], -np.tanh(x[:, 1]))
    np.testing.assert_allclose(stated.trims(r), 0.1 * np.sin(r[:, :1]))


def test_a_function_takes_what_it_names_and_nothing_else():
    def constraints(x, *, wall, gain=2.0):
        return {'wall': gain * (x[0] - wall)}

    for function in (constraints, partial(constraints, gain=2.0)):
        (h,) = cart(constraints=function).task.constraints.evaluate(
            np.array([1.0, 0.0]), np.zeros(1), np.zeros(2), [1.0, 0.8], 0.0
        )
        assert h == pytest.approx(0.4)


LADEN = cart(
    constraints=lambda x, wall: {'wall': x[0] - wall},
    residuals=lambda x: [x[0] * x[1]],
    terminal_residuals=lambda x: [x[1]],
    laws={'stop': lambda x, mass: [-mass * x[1]]},
    u_trim=lambda goal, mass: [0.2 * mass * goal[0]],
    x_max=[None, 2.0],
    ranges={'mass': (0.5, 2.0)},
    goal_box=[[0.5, 0.0], [1.5, 0.0]],
    x0_box=[[-1.0, -1.0], [0.5, 1.0]],
    goal_tolerance=[0.1, None],
    violation_weight=7.0,
)


def words(system):
    """What a system states beyond its numbers, to compare."""
    return (
        system.contract(),
        system.task.constraints.graph.digest,
        system.task.residuals.graph.digest,
        system.task.terminal_residuals.graph.digest,
        system.task.laws.graph.digest,
        system.task.laws.names,
        system.trims(np.array([0.7, 0.0])).tolist(),
    )


def test_copies_keep_every_word():
    assert words(replace(LADEN)) == words(LADEN)
    heavier = LADEN.with_parameters(mass=2.0)
    assert heavier.u_trim == pytest.approx(0.4)  # of the middle of goal_box, 1 m
    np.testing.assert_allclose(heavier.trims(np.array([2.0, 0.0])), [0.8])
    assert heavier.ranges == LADEN.ranges and heavier.task.constraints.names == (
        'wall',
        'speed_max',
    )
    assert words(heavier.with_parameters(mass=1.0)) == words(LADEN)


def other_wall(x, wall):
    return {'wall': x[0] - wall}


def half(goal):
    return [0.5 * goal[0]]


def test_pickles_keep_every_word():
    for trim in (half, 'equilibrium', [0.3]):
        system = cart(constraints=other_wall, u_trim=trim, laws={'stop': half}, x_min=[-9, None])
        again = pickle.loads(pickle.dumps(system))
        assert words(again) == words(system)
        assert words(again.with_parameters(mass=1.5)) == words(system.with_parameters(mass=1.5))


def test_numbers_take_the_place_of_a_trim_that_depends_on_the_goal():
    numbers = replace(LADEN, u_trim=[0.3])
    np.testing.assert_array_equal(numbers.trims(np.array([[0.5, 0.0], [1.0, 0.0]])), 0.3)
    again = replace(numbers, u_trim=half)
    assert again.u_trim == pytest.approx(0.5)
    assert replace(LADEN, goal_box=[0.0, 0.0]).u_trim == pytest.approx(0.2)  # same middle
    assert replace(LADEN, goal_box=[[0.0, 0.0], [1.0, 0.0]]).u_trim == pytest.approx(0.1)


def leaning(x, u, mass, **_):
    """A spring that is stiff to one side, and a weight."""
    return [x[1], u[0] / mass - np.sinh(x[0]) - 0.1 * x[1]]


def test_the_equilibrium_is_where_f_is_zero():
    system = cart(dynamics=leaning, u_trim='equilibrium', u_min=[-3.0], u_max=[3.0])
    goals = np.array([[0.5, 0.0], [-1.0, 0.0], [3.0, 0.0]])
    trims = system.trims(goals)
    np.testing.assert_allclose(trims[:2, 0], np.sinh(goals[:2, 0]), rtol=1e-9)
    assert trims[2, 0] == 3.0  # within the bounds
    masses = np.array([[1.0, 0.8], [2.0, 0.8], [0.5, 0.8]])
    own = system.trims(np.repeat(goals[:, None], 4, axis=1), masses)  # (3, 4, n_u)
    np.testing.assert_allclose(own[1], np.clip(2.0 * np.sinh(-1.0), -3.0, 3.0))
    np.testing.assert_allclose(own[0], np.sinh(0.5), rtol=1e-9)


def test_a_fleet_holds_goals_by_trims_of_its_own_parameters():
    system = cart(dynamics=leaning, u_trim='equilibrium', u_min=[-3.0], u_max=[3.0])
    goals = np.array([[0.5, 0.0], [0.5, 0.0]])
    plans = Controller.classical(system).plan_batch(goals, goals, parameters={'mass': [1.0, 2.0]})
    np.testing.assert_allclose(plans.cost, 0.0, atol=1e-9)  # at rest where they are
    np.testing.assert_allclose(
        plans.controls[:, 0, 0], [np.sinh(0.5), 2 * np.sinh(0.5)], rtol=1e-6
    )
