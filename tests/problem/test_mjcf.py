"""Robots from MJCF: what MuJoCo computes, what textbooks say, and what is refused."""

import numpy as np
import pytest

from tests.problem.mjcf_models import ACROBOT, CARTPOLE, EVERYTHING
from tests.problem.robots import SIX_JOINTS
from trc_core import SYSTEMS, System, get_system
from trc_core.problem.record import system_from_record, system_record
from trc_core.simulation import make_plant

mujoco = pytest.importorskip('mujoco')
from trc_core.problem.mjcf_text import mechanics_text  # noqa: E402

TASK = {'dt': 0.02, 'horizon': 20}
MOTOR = '<motor joint="slider" ctrlrange="-1 1"/>'


def everything(**words):
    return System.from_mjcf(EVERYTHING, tip='end', **words, **TASK)


def test_joints_in_one_body_offsets_springs_and_welds_are_those_of_mujoco():
    system, model = everything(), mujoco.MjModel.from_xml_string(EVERYTHING)
    data, rng, n = mujoco.MjData(model), np.random.default_rng(0), 5
    for _ in range(10):
        x, u = rng.uniform(-1.5, 1.5, 10), rng.uniform(system.u_min, system.u_max)
        data.qpos[:], data.qvel[:] = x[:n], x[n:]
        data.ctrl[:] = u / [1000.0, -2.0]
        mujoco.mj_forward(model, data)
        np.testing.assert_allclose(system.derivative(x, u)[n:], data.qacc, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(system.robot.tip_position(x), data.site('end').xpos)
        found = system.robot.tip_rotation(x)
        np.testing.assert_allclose(
            np.array(found, dtype=float).ravel(), data.site('end').xmat, atol=1e-12
        )


def test_the_slopes_of_springs_and_passive_joints_are_those_of_differences():
    system = everything(payload=0.5)
    rng, h = np.random.default_rng(1), 1e-6
    x, u = rng.uniform(-1.0, 1.0, 10), rng.uniform(system.u_min, system.u_max)
    found = system.slopes.evaluate([*x, *u, *system.p])
    A, B = np.array(found['A']).reshape(10, 10), np.array(found['B']).reshape(10, 2)
    for i, row in enumerate(h * np.eye(10)):
        difference = (system.derivative(x + row, u) - system.derivative(x - row, u)) / (2 * h)
        np.testing.assert_allclose(A[:, i], difference, atol=1e-5, rtol=1e-5)
    for i, row in enumerate(1e-3 * np.eye(2)):
        difference = (system.derivative(x, u + row) - system.derivative(x, u - row)) / 2e-3
        np.testing.assert_allclose(B[:, i], difference, atol=1e-7)


def test_ranges_of_motors_joints_and_names_become_those_of_the_system():
    system = everything()
    assert system.control_names == ('first_torque', 'fourth_torque')
    np.testing.assert_allclose(system.u_min, [-1000.0, -120.0])
    np.testing.assert_allclose(system.u_max, [2000.0, 80.0])
    assert system.state_names[1] == 'second'
    assert system.state_units[1] == 'm'
    np.testing.assert_allclose(system.x_min[3], np.radians(-150))
    assert system.angles == ('first', 'third')
    assert [joint.effort for joint in system.joints] == [0, None, None, 1, None]
    limited = everything(limits={'first': {'lower': -1.0, 'upper': 1.0, 'velocity': 2.0}})
    assert limited.angles == ('third',)
    assert limited.x_max[5] == 2.0


def test_the_text_that_is_kept_is_the_same_plant_and_stands_alone():
    system = everything(payload=0.4)
    form, text = system.robot.source
    assert form == 'mjcf'
    assert 'mesh' not in text
    plants = [
        make_plant(backend, system, integration_step=0.01) for backend in ('system', 'mujoco')
    ]
    for plant in plants:
        plant.reset(system.x0_centre)
        for _ in range(20):
            plant.step([5.0, -3.0])
    np.testing.assert_allclose(plants[1].x, plants[0].x, atol=1e-9)


def test_a_cart_and_a_pole_are_those_of_the_textbook():
    system = System.from_mjcf(CARTPOLE, **TASK)
    book = SYSTEMS['cartpole'].with_parameters(gravity=9.81)
    assert system.control_names == ('slider_force',)
    np.testing.assert_array_equal([system.u_min, system.u_max], [[-10.0], [10.0]])
    rng = np.random.default_rng(0)
    for q, v, u in zip(*rng.uniform(-1, 1, (2, 5, 2)), rng.uniform(-10, 10, (5, 1)), strict=True):
        theirs = book.derivative(np.array([q[0], v[0], q[1], v[1]]), u)[[1, 3]]
        np.testing.assert_allclose(system.derivative(np.array([*q, *v]), u)[2:], theirs, atol=1e-8)
    assert not system.trims(system.goal_centre).any()


def test_an_acrobot_moves_as_its_equations_say():
    system = System.from_mjcf(ACROBOT, **TASK)
    assert (system.n_x, system.n_u) == (4, 1)
    assert not system.goal_box.any()  # other goals could not be held
    rng = np.random.default_rng(0)
    for x, u in zip(rng.uniform(-2, 2, (5, 4)), rng.uniform(-5, 5, (5, 1)), strict=True):
        # Spong (1995), angles from hanging, with m = l = I = 1 and l_c = 1/2
        q, v, c = x[:2], x[2:], 0.5 * np.cos(x[1])
        M = np.array([[0.25 + 1.25 + 2 * c + 2.0, 0.25 + c + 1.0], [0.25 + c + 1.0, 1.25]])
        s = 0.5 * np.sin(q[1])
        bias = np.array([-s * v[1] ** 2 - 2 * s * v[0] * v[1], s * v[0] ** 2])
        low = 0.5 * 9.8 * np.sin(q.sum())
        gravity = np.array([1.5 * 9.8 * np.sin(q[0]) + low, low])
        expected = np.linalg.solve(M, np.array([0.0, u[0]]) - bias - gravity)
        np.testing.assert_allclose(system.derivative(x, u)[2:], expected, rtol=1e-10)


def test_an_arm_is_the_same_from_its_mjcf_as_from_its_urdf():
    motors = ''.join(
        f'<motor joint="joint_{i}" ctrllimited="true" ctrlrange="-150 150"/>' for i in range(1, 7)
    )
    text = mechanics_text(mujoco, mujoco.MjModel.from_xml_string(SIX_JOINTS))
    arm = text.replace('</mujoco>', f'<actuator>{motors}</actuator></mujoco>')
    one = System.from_urdf(SIX_JOINTS, payload=2.0, armature=0.1, **TASK)
    other = System.from_mjcf(arm, tip='link_6', payload=2.0, armature=0.1, **TASK)
    assert one.state_names == other.state_names
    x, u = np.random.default_rng(0).uniform(-1, 1, 12), np.arange(6.0)
    np.testing.assert_allclose(other.derivative(x, u), one.derivative(x, u), rtol=1e-9)
    np.testing.assert_allclose(other.trims(x), one.trims(x), atol=1e-10)


def test_a_file_is_a_system_and_a_checkpoint_needs_neither_it_nor_mujoco(tmp_path):
    file = tmp_path / 'cart.xml'
    file.write_text(CARTPOLE)
    system = get_system(str(file), tip='end', payload=0.1, horizon=30)
    assert (system.name, system.dt, system.horizon) == ('cart_and_pole', 0.02, 30)
    again = system_from_record(system_record(system))
    assert again.digest == system.digest
    with pytest.raises(FileNotFoundError, match=r"no robot file '.*other\.xml'"):
        get_system(str(tmp_path / 'other.xml'))


def without(text, part, *others):
    assert part in text
    return text.replace(part, ''.join(others))


MOTOR_OF_CART = (
    '<motor name="slide" joint="slider" gear="10" ctrllimited="true" ctrlrange="-1 1"/>'
)
HINGE = '<joint name="hinge" type="hinge" axis="0 1 0"/>'
REFUSED = {
    "joint 'hinge' is a ball joint": without(CARTPOLE, HINGE, '<joint name="hinge" type="ball"/>'),
    "joint 'loose' is a free joint": without(
        CARTPOLE,
        '</worldbody>',
        '<body><freejoint name="loose"/><geom size="0.1"/></body></worldbody>',
    ),
    "a joint of body 'pole' has no name": without(CARTPOLE, HINGE, '<joint axis="0 1 0"/>'),
    "tendon 'rope' cannot be modelled": without(
        CARTPOLE,
        '<actuator>',
        '<tendon><fixed name="rope"><joint joint="hinge" coef="1"/></fixed></tendon><actuator>',
    ),
    "equality constraint 'tie' cannot be modelled": without(
        CARTPOLE, '<actuator>', '<equality><joint name="tie" joint1="hinge"/></equality><actuator>'
    ),
    "body 'pole' has gravcomp": without(
        CARTPOLE, '<body name="pole">', '<body name="pole" gravcomp="1">'
    ),
    'a fluid cannot be modelled': without(CARTPOLE, '-9.81"/>', '-9.81" density="1.2"/>'),
    'the flag damper="disable"': without(
        CARTPOLE, '-9.81"/>', '-9.81"><flag damper="disable"/></option>'
    ),
    'the flag constraint="disable" cannot be kept with frictionloss': without(
        without(CARTPOLE, '-9.81"/>', '-9.81"><flag constraint="disable"/></option>'),
        '<joint name="slider"',
        '<joint name="slider" frictionloss="0.1"',
    ),
    'actuator \'slide\' is a servo.*<motor joint="slider"': without(
        CARTPOLE, MOTOR_OF_CART, '<position name="slide" joint="slider" ctrlrange="-1 1"/>'
    ),
    "actuator 'slide' has no range of force": without(
        CARTPOLE, MOTOR_OF_CART, '<motor name="slide" joint="slider"/>'
    ),
    "actuator '1' is the second one on joint 'slider'": without(
        CARTPOLE, MOTOR_OF_CART, MOTOR, MOTOR
    ),
    'no joint is driven': without(CARTPOLE, MOTOR_OF_CART),
    "geoms 'a' of body 'cart' and 'b' of body 'pole' can touch": without(
        CARTPOLE,
        '<site name="end"',
        '<body name="hand"/><geom name="b" size="0.1"/><site name="end"',
    ).replace('<geom type="box"', '<geom name="a" type="box"'),
    'MuJoCo.*|.*XML': '<mujoco><worldbody><body></worldbody></mujoco>',
}


@pytest.mark.parametrize('message', REFUSED)
def test_what_is_no_tree_of_plain_joints_and_motors_is_refused_by_name(message):
    text = REFUSED[message]
    if 'can touch' in message:
        text = without(text, '<geom contype="0" conaffinity="0"/>')
        # the pole's parent is exempt, a floor is not
        text = without(
            text, '<worldbody>', '<worldbody><geom name="a" type="plane" size="1 1 1"/>'
        )
        text = text.replace('<geom name="a" type="box"', '<geom name="b" type="box"', 1)
        text = text.replace('<geom name="b" size', '<geom name="c" size')
        message = "geoms 'a' of body 'world' and 'b' of body 'cart' can touch"
    with pytest.raises(ValueError, match=message) as caught:
        System.from_mjcf(text, **TASK)
    assert '\n' not in str(caught.value)
    if 'can touch' in message:
        assert System.from_mjcf(text, contacts='ignore', **TASK).n_x == 4


def test_without_constraints_nothing_touches_either():
    flags = ('contact', 'constraint')
    texts = [ACROBOT.replace('contact="disable"', f'{flag}="disable"') for flag in flags]
    plain, other = (System.from_mjcf(text, **TASK) for text in texts)
    assert other.graph.digest == plain.graph.digest
