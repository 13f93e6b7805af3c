"""Robots in MuJoCo: read from their own text by MuJoCo itself, they move as our equations say."""

import numpy as np
import pytest

from tests.problem.mjcf_models import CARTPOLE
from tests.problem.robots import ROBOTS, SIX_JOINTS, SLIDING, TWO_LINKS, link
from trc_core import SYSTEMS, Controller, System
from trc_core.problem.record import system_from_record, system_record
from trc_core.simulation import Imperfections, make_plant

mujoco = pytest.importorskip('mujoco')
from trc_core.simulation.mujoco_robot import robot_model  # noqa: E402

TASK = {'dt': 0.02, 'horizon': 20}
LOADED = {'payload': 1.5, 'armature': 0.2, 'damping': 0.7}
SEEN = """<visual><geometry><mesh filename="package://nowhere/part.dae"/></geometry></visual>
<collision><geometry><mesh filename="package://nowhere/part.stl"/></geometry></collision>"""


def states(system, count, seed=0):
    """Within the limits of the positions (count, n_x)."""
    rng, n = np.random.default_rng(seed), system.n_x // 2
    low, high = np.clip(system.x_min, -np.pi, None), np.clip(system.x_max, None, np.pi)
    q = rng.uniform(low, high, (count, system.n_x))[:, :n]
    return np.concatenate([q, rng.uniform(-3.0, 3.0, (count, n))], axis=1)


def accelerations(system, x, u):
    """Those of MuJoCo (n,) at a state (n_x,) under forces (n_u,)."""
    model, _, places = robot_model(system)
    data, joints, n = mujoco.MjData(model), list(places.joints), system.n_x // 2
    data.qpos[list(places.locked)] = list(places.locked.values())
    data.qpos[joints], data.qvel[joints] = x[:n], x[n:]
    data.qfrc_applied[list(places.driven)] = u
    mujoco.mj_forward(model, data)
    return data.qacc[joints]


def worst_difference(system, count=5):
    """The largest difference between MuJoCo's accelerations and ours, relative to the largest."""
    worst, rng = 0.0, np.random.default_rng(1)
    for x in states(system, count):
        u = rng.uniform(system.u_min, system.u_max)
        own = system.derivative(x, u)[system.n_x // 2 :]
        worst = max(worst, np.abs(accelerations(system, x, u) - own).max() / np.abs(own).max())
    return worst


@pytest.mark.parametrize('words', [{}, LOADED], ids=['as it is', 'loaded'])
@pytest.mark.parametrize('name', ROBOTS)
def test_mujoco_and_our_equations_accelerate_a_robot_alike(name, words):
    assert worst_difference(System.from_urdf(ROBOTS[name], **words, **TASK)) < 1e-10


@pytest.mark.parametrize('text', [TWO_LINKS, SIX_JOINTS, SLIDING], ids=['two', 'six', 'sliding'])
def test_a_second_of_flight_is_the_same(text):
    system = System.from_urdf(text, payload=0.5, armature=0.2, damping=2.0, **TASK)
    x0 = system.sample(np.random.default_rng(3), 1)[1][0]
    hold = system.trims(x0)
    flown = []
    for backend in ('system', 'mujoco'):
        plant = make_plant(backend, system, integration_step=system.dt)
        plant.reset(x0)
        rng = np.random.default_rng(2)
        pushes = 0.02 * system.u_max * rng.uniform(-1, 1, (50, system.n_u))
        flown.append(np.array([plant.step(hold + push) for push in pushes]))
    assert np.abs(flown[0][-1] - x0).max() > 0.02  # something happened, within the limits
    np.testing.assert_allclose(flown[1], flown[0], atol=1e-9)


def test_parameters_reach_mujoco_one_by_one():
    words = {**LOADED, 'adjustable': ('armature', 'damping')}
    system = System.from_urdf(TWO_LINKS, **words, **TASK)
    (x,), u = states(system, 1), 0.3 * system.u_max
    found = {accelerations(system, x, u).tobytes()}
    for name, value in system.parameters.items():
        changed = system.with_parameters(**{name: 1.4 * value})
        assert worst_difference(changed) < 1e-10
        found.add(accelerations(changed, x, u).tobytes())
    assert len(found) == len(system.parameters) + 1
    light, heavy = (
        make_plant('mujoco', system, Imperfections(error), 0.002).reset(x) is not None
        and make_plant('mujoco', system, Imperfections(error), 0.002).step(u)
        for error in (0.0, 0.5)
    )
    assert np.abs(light - heavy).max() > 1e-4


def test_joints_that_do_not_move_stay_where_they_are_locked():
    words = {'joints': ['joint_2', 'joint_4'], 'locked': {'joint_1': 0.4, 'joint_3': 0.2}}
    system = System.from_urdf(SLIDING, payload=0.5, **words, **TASK)
    assert system.n_u == 2
    assert worst_difference(system) < 1e-10
    elsewhere = System.from_urdf(SLIDING, payload=0.5, joints=words['joints'], **TASK)
    (x,), u = states(system, 1), system.u_max
    assert np.abs(accelerations(system, x, u) - accelerations(elsewhere, x, u)).max() > 0.01


def test_meshes_that_are_not_there_do_not_matter():
    seen = TWO_LINKS.replace('</inertial></link>', f'</inertial>{SEEN}</link>')
    seen = seen.replace(link('base'), f'<link name="base">{SEEN}</link>')
    seen = seen.replace('</robot>', '<gazebo reference="base"/><mujoco/></robot>')
    assert worst_difference(System.from_urdf(seen, **TASK)) < 1e-10


def test_a_joint_stops_at_its_limit_and_sticks_below_its_friction():
    system = System.from_urdf(TWO_LINKS, gravity=(0, 0, 0), friction=2.0, **TASK)
    plant = make_plant('mujoco', system, integration_step=0.002)
    plant.reset(np.zeros(4))
    for _ in range(50):
        x = plant.step([1.9, -1.9])  # for a second
    np.testing.assert_allclose(x, 0.0, atol=1e-3)
    for _ in range(100):
        x = plant.step([20.0, 0.0])
    assert 2.9 < x[0] < 3.1
    assert abs(x[2]) < 0.1


def test_equal_states_and_forces_have_equal_successors_and_a_blown_up_state_is_no_number():
    system = System.from_urdf(SIX_JOINTS, friction=1.0, armature=0.1, **TASK)
    (x, other), u = states(system, 2), 0.1 * system.u_max
    plant = make_plant('mujoco', system)
    first = [plant.reset(x), plant.step(u)][1]
    plant.reset(other)
    plant.step(-u)
    plant.reset(x)
    np.testing.assert_array_equal(plant.step(u), first)
    plant.reset(np.full(12, 1e11))
    assert np.isnan(plant.step(u)).all()


def test_what_mujoco_cannot_simulate_is_said_in_one_line():
    system = System.from_urdf(TWO_LINKS, **TASK)
    from_file = system_from_record({**system.contract(), **system_record(system)})
    for other in (from_file, SYSTEMS['van_der_pol']):
        with pytest.raises(ValueError, match=r'choose .* the \.urdf or \.xml of a robot'):
            make_plant('mujoco', other)
    lopsided = TWO_LINKS.replace('ixx="0.001"', 'ixx="0.1"')
    with pytest.raises(ValueError, match=r"refuses the robot 'two_links': .*inertia") as caught:
        make_plant('mujoco', System.from_urdf(lopsided, **TASK))
    assert '\n' not in str(caught.value)


def test_a_pole_that_no_motor_drives_is_balanced_by_its_cart():
    system = System.from_mjcf(CARTPOLE, dt=0.04, horizon=40, x0_box=[0.5, 0.3, 0.5, 0.5])
    controller, plant, plan = Controller.classical(system), make_plant('mujoco', system), None
    x = plant.reset([0.3, 0.1, 0.0, 0.0])
    for _ in range(100):
        plan = controller.plan(x, system.goal_centre, plan)
        x = plant.step(plan.controls[0])
    np.testing.assert_allclose(x, 0.0, atol=0.02)
