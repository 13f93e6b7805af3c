"""Robots as systems: names, limits, holding torques, exact slopes, and files that carry them."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from robots import BRANCHED, ROBOTS, SEVEN_JOINTS, SIX_JOINTS, SLIDING, TWO_LINKS

import trc_core
from trc_core.compile import machine_code
from trc_core.compile.binding import code_of, plant_of, readable_plant_of
from trc_core.compile.cache import cache_folder
from trc_core.compile.casadi_reader import casadi_step
from trc_core.compile.kernels import compiled
from trc_core.compile.plant import hold, step_jacobian
from trc_core.problem.comparison import differing_word
from trc_core.problem.record import system_from_record, system_record
from trc_core.problem.stated_slopes import require_slopes
from trc_core.problem.system import System
from trc_core.solvers import ilqr
from trc_core.systems import get_system

ROOT = Path(trc_core.__file__).parents[1]


def made(text=SIX_JOINTS, **words):
    return System.from_urdf(text, **{'dt': 0.02, 'horizon': 50, 'armature': 0.05, **words})


@pytest.fixture(scope='module')
def arm():
    return made(payload=0.5, damping=0.1, friction={'joint_2': 0.4})


def state_of(system, seed=0):
    rng = np.random.default_rng(seed)
    x, goal = system.sample(rng, 1)
    return x[0], rng.uniform(system.u_min, system.u_max) * 0.2, goal[0]


def test_a_robot_gives_names_units_and_limits():
    system = made(SLIDING, armature=0.0)
    names = ('joint_1', 'joint_2', 'joint_3', 'joint_4')
    assert system.name == 'sliding'
    assert system.state_names == (*names, *(f'{name}_velocity' for name in names))
    assert system.state_units == ('m', 'rad', 'm', 'rad', 'm/s', 'rad/s', 'm/s', 'rad/s')
    assert system.control_names[:2] == ('joint_1_force', 'joint_2_torque')
    assert system.control_units == ('N', 'N m', 'N', 'N m')
    np.testing.assert_array_equal(system.u_max, [100.0, 50.0, 60.0, 50.0])
    np.testing.assert_array_equal(system.x_min, [-0.5, -3.0, 0.0, -3.0, -1.0, -3.0, -0.5, -3.0])
    assert [tuple(j) for j in system.joints] == [(n, i, 4 + i, i) for i, n in enumerate(names)]
    low, high = system.goal_centre - system.goal_box, system.goal_centre + system.goal_box
    assert (low >= system.x_min).all()
    assert (high <= system.x_max).all()


def test_a_joint_without_end_is_an_angle():
    system = made(BRANCHED)
    assert system.angles == ('pole',)
    assert system.x_max[system.state_names.index('pole')] == np.inf


def test_joints_keep_their_names_where_code_cannot_use_them():
    system = made(TWO_LINKS.replace('joint_1', 'left/arm.1').replace('joint_2', 'left/arm-1'))
    assert system.state_names[:2] == ('left_arm_1', 'left_arm_1_2')
    assert [joint.name for joint in system.joints] == ['left/arm.1', 'left/arm-1']


@pytest.mark.parametrize('name', ROBOTS)
def test_steps_and_their_slopes_are_those_of_casadi(name):
    words = {'payload': 0.7, 'damping': 0.3, 'friction': 0.2, 'armature': 0.1, 'substeps': 1}
    system = made(ROBOTS[name], **words)
    x, u, _ = state_of(system)
    step = casadi_step(system)
    exact = step.factory('slopes', ['x', 'u'], ['x_next', 'jac:x_next:x', 'jac:x_next:u'])(x, u)
    ours = (system.step(x, u), *system.step_jacobian(x, u))
    for own, theirs in zip(ours, exact, strict=True):
        theirs = np.array(theirs).reshape(own.shape)
        assert np.abs(own - theirs).max() <= 1e-12 * np.abs(theirs).max()


@pytest.mark.parametrize('text', [TWO_LINKS, SIX_JOINTS], ids=['whole step', 'called dynamics'])
def test_machine_code_takes_the_step_and_has_its_slopes(text):
    system = made(text, payload=1.0, substeps=2)
    x, u, _ = state_of(system)
    x_next, A, B = np.empty_like(x), np.empty((len(x), len(x))), np.empty((len(x), len(u)))
    compiled(hold)(plant_of(system).dynamics, x, u, system.dt, x_next)
    compiled(step_jacobian)(plant_of(system).dynamics, x, u, A, B)
    np.testing.assert_allclose(x_next, system.step(x, u), rtol=1e-12, atol=1e-13)
    for own, exact in zip((A, B), system.step_jacobian(x, u), strict=True):
        np.testing.assert_allclose(own, exact, rtol=1e-11, atol=1e-13)
    readable = np.empty_like(A)
    step_jacobian(readable_plant_of(system).dynamics, x, u, readable, B)
    np.testing.assert_allclose(readable, A, rtol=1e-11, atol=1e-13)


def test_every_goal_is_held_whatever_the_payload(arm):
    goals = arm.sample(np.random.default_rng(1), 20)[1]
    loads = np.linspace(0.0, 5.0, 20)
    torques = arm.trims(goals, loads[:, None])
    for goal, torque, load in zip(goals, torques, loads, strict=True):
        drift = arm.with_parameters(payload=load).derivative(goal, torque)
        np.testing.assert_allclose(drift, 0.0, atol=1e-9)
    assert np.abs(torques[-1] - arm.trims(goals)[-1]).max() > 1.0


def test_damping_and_friction_can_be_parameters():
    system = made(TWO_LINKS, adjustable=('damping', 'armature'), damping={'joint_2': 0.2})
    assert dict(system.parameters) == {
        'damping_joint_1': 0.0,
        'damping_joint_2': 0.2,
        'armature_joint_1': 0.05,
        'armature_joint_2': 0.05,
    }
    changed = system.with_parameters(damping_joint_1=0.4, armature_joint_2=0.3)
    fixed = made(
        TWO_LINKS,
        damping={'joint_1': 0.4, 'joint_2': 0.2},
        armature={'joint_1': 0.05, 'joint_2': 0.3},
    )
    x, u, _ = state_of(system)
    np.testing.assert_allclose(changed.step(x, u), fixed.step(x, u), rtol=1e-14)


def inverse_inertia(system, x):
    """The accelerations of unit torques, (n, n)."""
    idle = system.derivative(x, np.zeros(system.n_u))
    gains = [system.derivative(x, unit) - idle for unit in np.eye(system.n_u)]
    return np.array(gains).T[system.n_u :]


def test_friction_is_as_strong_as_stated_and_smooth():
    with_friction, without = made(TWO_LINKS, friction=0.5), made(TWO_LINKS)
    u, speed = np.zeros(2), with_friction.x_max[2:]
    for share, expected in ((1.0, 0.5), (0.0, 0.0), (-1.0, -0.5)):
        x = np.concatenate([[0.3, 0.2], share * speed])
        missing = np.linalg.solve(
            inverse_inertia(with_friction, x),
            (without.derivative(x, u) - with_friction.derivative(x, u))[2:],
        )
        np.testing.assert_allclose(missing, expected, atol=1e-6)


def reach(tip, goal, aim_x, aim_z):
    return [10.0 * (tip[0] - aim_x), 10.0 * (tip[2] - aim_z)]


def clear(tip):
    return {'ball': 0.1 - np.sqrt(((tip - np.array([0.3, 0.0, 0.5])) ** 2).sum())}


def test_functions_of_the_task_may_take_the_tip():
    system = made(
        TWO_LINKS,
        tip='link_2',
        parameters={'aim_x': 0.4, 'aim_z': 0.3},
        residuals=reach,
        constraints=clear,
    )
    x, u, goal = state_of(system)
    tip = system.robot.tip_position(list(x)).astype(float)
    own = [x, u, goal, list(system.p), 0.0]
    found = system.task.residuals.evaluate(*own)
    np.testing.assert_allclose(found, [10 * (tip[0] - 0.4), 10 * (tip[2] - 0.3)])
    ball = 0.1 - np.linalg.norm(tip - [0.3, 0.0, 0.5])
    assert system.task.stated.names == ('ball',)
    np.testing.assert_allclose(system.task.stated.evaluate(*own), [ball])
    assert pickle.loads(pickle.dumps(system)).digest == system.digest


def test_a_mistake_in_a_function_of_the_tip_is_found_where_it_is():
    def wrong(tip):
        return {'ball': tip[0] - tip['x']}

    line = wrong.__code__.co_firstlineno + 1
    with pytest.raises(
        ValueError, match=f'constraints of .* fail on NumPy symbols in line {line}'
    ):
        made(TWO_LINKS, constraints=wrong)


def test_the_tip_is_a_column_for_functions_of_casadi():
    import casadi as ca

    def near(x, tip):
        return {'ball': 0.1 - ca.norm_2(tip - ca.DM([0.3, 0.0, 0.5])) + 0.0 * x[0]}

    in_casadi, in_numpy = (
        made(TWO_LINKS, tip='link_2', constraints=function) for function in (near, clear)
    )
    x, u, goal = state_of(in_casadi)
    own = [x, u, goal, [], 0.0]
    found, expected = (s.task.stated.evaluate(*own) for s in (in_casadi, in_numpy))
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_the_tip_of_many_states_is_that_of_each():
    model = made(SIX_JOINTS).robot
    x = np.random.default_rng(0).normal(size=(3, 4, 12))
    found = model.tip_position(x)
    assert found.shape == (3, 4, 3)
    np.testing.assert_allclose(found[1, 2], model.tip_position(list(x[1, 2])).astype(float))


def test_a_goal_of_the_tip_is_reached():
    system = made(
        TWO_LINKS,
        parameters={'aim_x': 0.32, 'aim_z': 0.34},
        residuals=reach,
        terminal_residuals=reach,
        position_weight=1e-3,
        speed_weight=1e-2,
        effort_weight=1e-5,
    )
    goal = np.zeros(4)
    plan = ilqr.solve(system, np.array([0.3, 0.5, 0.0, 0.0]), goal)
    tip = system.robot.tip_position(plan.states[-1])
    np.testing.assert_allclose(tip[[0, 2]], [0.32, 0.34], atol=0.005)


def test_words_of_the_system_replace_those_of_the_robot():
    system = made(TWO_LINKS, name='mine', Q=[1.0, 2.0, 3.0, 4.0], u_trim=[0.0, 0.0])
    assert (system.name, system.trim) == ('mine', None)
    np.testing.assert_array_equal(np.diag(system.Q), [1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ({'armature': {'elbow': 1.0}}, "armature names 'elbow'.*'joint_1'"),
        ({'damping': -1.0}, "damping of joint 'joint_1' is -1"),
        ({'friction': 'low'}, "friction of joint 'joint_1' is 'low'"),
        ({'adjustable': ['mass']}, "adjustable names 'mass'.*'armature'"),
        ({'payload': np.nan}, 'payload is nan'),
        ({'position_weight': [1.0, 2.0, 3.0]}, r'position_weight has shape \(3,\)'),
        ({'dt': 'fast'}, "dt is 'fast'"),
        ({'horizont': 3}, 'horizont'),
    ],
)
def test_words_that_make_no_sense_are_refused(words, message):
    with pytest.raises((ValueError, TypeError), match=message):
        made(TWO_LINKS, **words)


def test_a_joint_that_nothing_resists_is_named():
    text = (
        TWO_LINKS.replace('centre', '')
        .replace(
            '<mass value="1.0"/><inertia ixx="0.001" iyy="0.01"',
            '<mass value="1.0"/><inertia ixx="0" iyy="0"',
        )
        .replace('xyz="0.15 0 0.01"', 'xyz="0 0 0"')
    )
    with pytest.raises(
        ValueError, match=r"joint 'joint_2' moves bodies without inertia.*armature"
    ):
        made(text, armature=0.0)
    assert made(text, armature={'joint_2': 0.1})


def test_a_record_carries_the_slopes(arm):
    record = json.loads(json.dumps(system_record(arm)))
    again = system_from_record(record)
    assert (again.digest, again.robot) == (arm.digest, None)
    assert again.slopes.digest == arm.slopes.digest
    assert code_of(again) is code_of(arm)
    assert differing_word(arm, again) is None
    x, u, goal = state_of(arm)
    for ours, theirs in zip(arm.step_jacobian(x, u), again.step_jacobian(x, u), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(arm.trims(goal), again.trims(goal))


def test_a_record_without_slopes_has_exact_ones():
    system = made(TWO_LINKS)
    record = json.loads(json.dumps(system_record(system)))
    del record['slopes']
    again = system_from_record(record)
    x, u, _ = state_of(system)
    for ours, theirs in zip(system.step_jacobian(x, u), again.step_jacobian(x, u), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)
    assert again.digest != system.digest
    assert code_of(again) is not code_of(system)


def test_slopes_of_other_dynamics_are_refused(arm):
    record = json.loads(json.dumps(system_record(arm)))
    A = record['slopes']['outputs']['A']
    A[12 * 7 + 1], A[12 * 7 + 2] = A[12 * 7 + 2], A[12 * 7 + 1]
    with pytest.raises(ValueError, match='are not those of its dynamics') as refusal:
        system_from_record(record)
    assert '\n' not in str(refusal.value)
    record['slopes']['outputs']['B'].pop()
    with pytest.raises(ValueError, match=r"slopes of 'six_joints' take .* and give"):
        system_from_record(record)


def test_a_robot_can_be_sent_to_another_process(arm):
    again = pickle.loads(pickle.dumps(arm))
    assert again.digest == arm.digest
    assert again.robot.tip.body == 5


def test_robots_in_one_cache_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setenv('TRC_CACHE_DIR', str(tmp_path))
    monkeypatch.setattr(machine_code, 'LOADED', {})
    light, heavy, longer = made(TWO_LINKS), made(TWO_LINKS, armature=0.2), made(SEVEN_JOINTS)
    for system in (light, heavy, longer):
        x, u, _ = state_of(system)
        x_next = np.empty_like(x)
        compiled(hold)(plant_of(system).dynamics, x, u, system.dt, x_next)
        np.testing.assert_allclose(x_next, system.step(x, u), rtol=1e-12, atol=1e-13)
    assert len({id(code_of(system)) for system in (light, heavy, longer)}) == 3


ELSEWHERE = """
import json, sys
for library in ('sympy', 'casadi', 'torch', 'mujoco', 'pinocchio', 'scipy'):
    sys.modules[library] = None  # importing it fails
from trc_core.problem.record import system_from_record
from trc_core.solvers import ilqr
system = system_from_record(json.load(open(sys.argv[1])))
x, goal = system.x0_centre - system.x0_box / 2, system.goal_centre + system.goal_box / 2
print(repr(float(ilqr.solve(system, x, goal).cost)))
"""


def test_a_process_without_casadi_compiler_or_home_plans_the_same(tmp_path):
    system = made(SIX_JOINTS, armature=0.0625)
    (tmp_path / 'record.json').write_text(json.dumps(system_record(system)))
    (tmp_path / 'home').write_text('no folder can be made in here')
    environment = {
        'PATH': '/nowhere',
        'HOME': str(tmp_path / 'home'),
        'PYTHONPATH': str(ROOT),
        'TRC_CACHE_DIR': str(cache_folder()),
        **{k: v for k, v in os.environ.items() if k.startswith(('LD_', 'NUMBA_'))},
    }
    command = [sys.executable, '-c', ELSEWHERE, str(tmp_path / 'record.json')]
    printed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    x, goal = system.x0_centre - system.x0_box / 2, system.goal_centre + system.goal_box / 2
    assert float(printed.stdout) == ilqr.solve(system, x, goal).cost


def test_a_robot_file_is_a_system(tmp_path):
    path = tmp_path / 'six_joints.urdf'
    path.write_text(SIX_JOINTS)
    system = get_system(str(path), armature=0.05)
    assert (system.name, system.dt, system.horizon) == ('six_joints', 0.02, 50)
    other = get_system(str(path), armature=0.05, dt=0.01, horizon=20, tip='link_3')
    assert (other.dt, other.horizon, other.robot.tip.body) == (0.01, 20, 2)


def test_what_is_no_robot_file_is_refused_in_a_line(tmp_path):
    with pytest.raises(ValueError, match=r'xacro .*arm\.urdf\.xacro > .*arm\.urdf'):
        get_system(str(tmp_path / 'arm.urdf.xacro'))
    with pytest.raises(FileNotFoundError, match=r'nowhere\.urdf'):
        get_system(str(tmp_path / 'nowhere.urdf'))
    with pytest.raises(ValueError, match=r"'pendulum' is no robot file, and takes no \['dt'\]"):
        get_system('pendulum', dt=0.1)


class Pendulum:
    """Dynamics that state their slopes, right ones or wrong ones."""

    def __init__(self, by_q):
        self.by_q = by_q

    def __call__(self, x, u):
        return [x[1], -np.sin(x[0]) + u[0]]

    def slopes(self, x, u):
        return self(x, u), [[0.0, 1.0], [self.by_q(x[0]), 0.0]], [[0.0], [1.0]]


def pendulum(by_q):
    return System(
        name='stated',
        dynamics=Pendulum(by_q),
        state_names=('angle', 'rate'),
        state_units=('rad', 'rad/s'),
        control_names=('torque',),
        control_units=('N m',),
        joints=(),
        dt=0.05,
        horizon=10,
        u_min=[-1.0],
        u_max=[1.0],
        Q=[1.0, 0.1],
        R=[0.1],
        x0_box=[1.0, 1.0],
        goal_box=[1.0, 0.0],
    )


def test_dynamics_of_a_user_may_state_their_slopes():
    system = pendulum(lambda q: -np.cos(q))
    require_slopes(system, system.slopes)
    with pytest.raises(ValueError, match="are not those of its dynamics, as that of 'rate'"):
        require_slopes(system, pendulum(lambda q: -np.cos(2.0 * q)).slopes)
    with pytest.raises(ValueError, match="slopes of 'stated' fail"):
        _ = pendulum(lambda q: 'steep').slopes
    short = pendulum(np.sin)
    short.dynamics.slopes = lambda x, u: (short.dynamics(x, u), [[0.0, 1.0]], [[0.0], [1.0]])
    with pytest.raises(ValueError, match="slopes of 'stated' return other sizes"):
        _ = short.slopes
