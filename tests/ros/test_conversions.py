"""Messages carry states and plans without loss, in any order of names, and nothing broken."""

import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Time
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_rules import received

from trc_core.numerics.plan import Plan
from trc_core.systems import SYSTEMS, Joint, get_system
from trc_ros.conversions import (
    ArrayReader,
    HorizonWriter,
    JointStateReader,
    JointStateWriter,
    RejectedInput,
    axes_of,
    later,
    own_stamp,
    seconds_of,
)

# A cart with a pole that carries a mass: one joint is not driven, one coordinate is no joint.
SYSTEM = replace(
    get_system('van_der_pol'),
    name='loaded_cartpole',
    substeps=1,  # nobody reads its equations
    state_names=('cart', 'pole', 'cart_rate', 'pole_rate', 'mass'),
    state_units=('m', 'rad', 'm/s', 'rad/s', 'kg'),
    joints=(Joint('cart', 0, 2, 0), Joint('pole', 1, 3)),
    Q=np.ones(5),
    Q_f=None,
    x0_box=np.ones(5),
    goal_box=np.ones(5),
    goal_tolerance=None,
)
ALL = [*SYSTEMS.values(), SYSTEM]
X = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
finite = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize('system', ALL, ids=lambda system: system.name)
@given(data=st.data())
def test_a_state_survives_the_way_through_a_shuffled_message(system, data):
    x = np.array(data.draw(st.lists(finite, min_size=system.n_x, max_size=system.n_x)))
    message = JointStateWriter(system)(x, Time())
    order = data.draw(st.permutations(range(len(message.name))))
    shuffled = JointState(
        name=[message.name[i] for i in order],
        position=[message.position[i] for i in order],
        velocity=[message.velocity[i] for i in order],
    )
    np.testing.assert_array_equal(JointStateReader(system)(shuffled), x)


def test_a_coordinate_of_no_joint_travels_under_its_own_name_as_a_position():
    message = JointStateWriter(SYSTEM)(X, Time())
    assert list(message.name) == ['cart', 'pole', 'mass']
    assert list(message.position) == [1.0, 2.0, 5.0]
    assert list(message.velocity) == [3.0, 4.0, 0.0]
    assert [axis.name for axis in axes_of(SYSTEM)] == ['cart', 'pole', 'mass']


NAMES = ['cart', 'pole', 'mass']
BROKEN = [
    ('not_finite', NAMES, [1.0, math.nan, 2.0], [0.0] * 3),
    ('not_finite', NAMES, [1.0] * 3, [0.0, -math.inf, 0.0]),
    ('wrong_size', NAMES, [1.0] * 2, [0.0] * 3),
    ('wrong_size', NAMES, [1.0] * 3, [0.0] * 4),
    ('missing_velocity', NAMES, [1.0] * 3, []),
    ('wrong_size', NAMES, [], []),
    ('duplicate_name', ['cart', 'cart', 'mass'], [1.0] * 3, [0.0] * 3),
    ('unknown_name', ['cart', 'pole', 'mast'], [1.0] * 3, [0.0] * 3),
    ('unknown_name', [*NAMES, 'gripper'], [1.0] * 4, [0.0] * 4),
    ('missing_name', NAMES[:2], [1.0] * 2, [0.0] * 2),
    ('missing_name', [], [], []),
]


@pytest.mark.parametrize(('reason', 'names', 'positions', 'velocities'), BROKEN)
def test_a_broken_message_is_rejected_for_the_right_reason(reason, names, positions, velocities):
    message = JointState(name=names, position=positions, velocity=velocities)
    with pytest.raises(RejectedInput) as error:
        JointStateReader(SYSTEM)(message)
    assert error.value.reason == reason


def test_a_goal_without_velocities_is_a_goal_at_rest():
    message = JointState(name=NAMES, position=[1.0, 2.0, 5.0])
    goal = JointStateReader(SYSTEM, complete=False)(message)
    assert goal.tolist() == [1.0, 2.0, 0.0, 0.0, 5.0]
    message.velocity = [0.0, math.nan, 0.0]
    with pytest.raises(RejectedInput, match='not_finite'):
        JointStateReader(SYSTEM, complete=False)(message)


@given(
    names=st.lists(st.sampled_from([*NAMES, 'gripper', '']), max_size=5),
    positions=st.lists(st.floats(), max_size=5),
    velocities=st.lists(st.floats(), max_size=5),
)
def test_no_message_gives_anything_but_a_finite_state_or_a_rejection(names, positions, velocities):
    message = JointState(name=names, position=positions, velocity=velocities)
    try:
        x = JointStateReader(SYSTEM)(message)
    except RejectedInput:
        return
    assert x.shape == (SYSTEM.n_x,)
    assert np.isfinite(x).all()


def test_an_array_is_read_in_the_order_of_the_names():
    read = ArrayReader(('a', 'b'))
    assert read(Float64MultiArray(data=[1.0, 2.0])).tolist() == [1.0, 2.0]
    for data, reason in (([1.0], 'wrong_size'), ([1.0, math.inf], 'not_finite')):
        with pytest.raises(RejectedInput) as error:
            read(Float64MultiArray(data=data))
        assert error.value.reason == reason


def plan_of(system):
    rng = np.random.default_rng(1)
    controls = rng.normal(size=(system.horizon, system.n_u))
    states = rng.normal(size=(system.horizon + 1, system.n_x))
    return Plan(controls, states, 1.0, 'test')


@pytest.mark.parametrize('system', ALL, ids=lambda system: system.name)
def test_a_horizon_carries_the_whole_plan(system):
    write = HorizonWriter(system, 'world')
    for _ in range(2):  # the second time the message is used again
        plan = plan_of(system)
        message = received(write(plan, Time(sec=3)))
    assert (message.header.stamp.sec, message.header.frame_id) == (3, 'world')
    assert list(message.joint_names) == [axis.name for axis in axes_of(system)]
    for k, point in enumerate(message.points):
        time = point.time_from_start.sec + 1e-9 * point.time_from_start.nanosec
        assert time == pytest.approx(k * system.dt, abs=1e-8)
        for i, axis in enumerate(axes_of(system)):
            assert point.positions[i] == plan.states[k, axis.position]
            if axis.velocity is not None:
                assert point.velocities[i] == plan.states[k, axis.velocity]
            if axis.effort is not None and k < system.horizon:
                assert point.effort[i] == plan.controls[k, axis.effort]
    driven = any(axis.effort is not None for axis in axes_of(system))
    efforts = [len(point.effort) for point in message.points]
    assert efforts == [*[len(message.joint_names) * driven] * system.horizon, 0]


def test_controls_that_belong_to_no_single_joint_stay_out_of_the_effort():
    system = replace(SYSTEM, joints=(Joint('cart', 0, 2), Joint('pole', 1, 3)))
    message = received(HorizonWriter(system)(plan_of(system), Time()))
    assert all(len(point.effort) == 0 for point in message.points)


def test_only_a_stamp_that_was_written_is_one():
    stamped = JointState()
    assert own_stamp(stamped) is None
    stamped.header.stamp.sec = 4
    assert own_stamp(stamped).sec == 4
    assert own_stamp(Float64MultiArray()) is None


def test_stamps_add_up_to_the_nanosecond():
    stamp = later(Time(sec=1_700_000_000, nanosec=999_999_999), 0.25)
    assert stamp == Time(sec=1_700_000_001, nanosec=249_999_999)
    assert seconds_of(stamp) == pytest.approx(1_700_000_001.25, abs=1e-6)
