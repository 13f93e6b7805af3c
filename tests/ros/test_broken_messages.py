"""Whatever bytes and numbers arrive: a finite state, or a rejection with a reason.

`TRC_FUZZ=1000000 pytest tests/ros/test_broken_messages.py` tries harder.
"""

import math
import os
import random
from collections import Counter

import numpy as np
import pytest

pytest.importorskip('rclpy')

from geometry_msgs.msg import PoseStamped
from hypothesis import given, settings
from hypothesis import strategies as st
from nav_msgs.msg import Odometry
from rclpy._rclpy_pybind11 import RMWError
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from trc_core.systems import get_system
from trc_ros.conversions import GOAL_TYPES, STATE_TYPES, RejectedInput

TRIALS = int(os.environ.get('TRC_FUZZ', '20000'))
SYSTEM = get_system('quadrotor_2d')
NAMES, NUMBERS = ['y', 'z', 'tilt'], [0.1, -0.2, 0.3]
JOINTS = JointState(name=NAMES, position=NUMBERS, velocity=NUMBERS)
ARRAY = Float64MultiArray(data=2 * NUMBERS)
VALID = {
    'state as JointState': (STATE_TYPES['JointState'], JOINTS),
    'state as Odometry': (STATE_TYPES['Odometry'], Odometry()),
    'state as Float64MultiArray': (STATE_TYPES['Float64MultiArray'], ARRAY),
    'goal as JointState': (GOAL_TYPES['JointState'], JointState(name=NAMES, position=NUMBERS)),
    'goal as PoseStamped': (GOAL_TYPES['PoseStamped'], PoseStamped()),
    'goal as Float64MultiArray': (GOAL_TYPES['Float64MultiArray'], ARRAY),
}
VERDICTS = {
    *('read', 'not_finite', 'wrong_size', 'duplicate_name', 'unknown_name', 'missing_name'),
    *('missing_velocity', 'not_unit', 'off_plane'),
}
HEADER = 4  # bytes that say how the rest is encoded
DOUBLES = [np.float64(x).tobytes() for x in (0.0, math.nan, math.inf, -math.inf, 1e308, 5e-324)]


def verdict(read, message):
    """'read' or the reason of the rejection; anything else is a failure."""
    try:
        x = read(message)
    except RejectedInput as error:
        return error.reason
    assert x.shape == (SYSTEM.n_x,)
    assert np.isfinite(x).all()
    return 'read'


def flip(rng, data, place):
    return data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]


def overwrite(rng, data, place):
    return data[:place] + rng.choice([*DOUBLES, rng.randbytes(8)]) + data[place + 8 :]


def truncate(rng, data, place):
    return data[:place]


def insert(rng, data, place):
    return data[:place] + rng.randbytes(4) + data[place:]


def scramble(rng, data, place):
    return data[:HEADER] + rng.randbytes(rng.randrange(200))


DAMAGES = (flip, flip, flip, overwrite, overwrite, truncate, insert, scramble)


def damaged(rng, data):
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        if len(data) > HEADER:
            data = rng.choice(DAMAGES)(rng, data, rng.randrange(HEADER, len(data)))
    return data


@pytest.mark.parametrize('name', VALID)
def test_damaged_bytes_are_a_state_or_a_rejection(name):
    (kind, make_reader), message = VALID[name]
    read, data, rng = make_reader(SYSTEM), serialize_message(message), random.Random(name)
    assert verdict(read, message) == 'read'
    verdicts = Counter()
    for _ in range(TRIALS // len(VALID)):
        try:
            message = deserialize_message(damaged(rng, data), kind)
        except RMWError:  # DDS drops it: no callback would see it
            continue
        verdicts[verdict(read, message)] += 1
    assert set(verdicts) <= VERDICTS
    # Enough of what was tried must have been worth trying.
    assert verdicts.total() > TRIALS / len(VALID) / 10
    assert verdicts['read'] > 0 and len(verdicts) > 1


numbers = st.floats() | st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf, 1e308])


@settings(max_examples=max(200, TRIALS // 100))
@given(values=st.lists(numbers, min_size=13, max_size=13), upright=st.booleans())
def test_any_numbers_in_a_pose_are_a_state_or_a_rejection(values, upright):
    message = Odometry()
    pose, twist = message.pose.pose, message.twist.twist
    fields = [(pose.position, 'xyz'), (twist.linear, 'xyz'), (twist.angular, 'xyz')]
    fields += [] if upright else [(pose.orientation, 'xyzw')]
    slots = [(vector, name) for vector, names in fields for name in names]
    for (vector, name), value in zip(slots, values, strict=False):
        setattr(vector, name, value)
    found = verdict(STATE_TYPES['Odometry'][1](SYSTEM), message)
    goal = PoseStamped(pose=pose)
    assert found in VERDICTS
    if found == 'read':
        assert verdict(GOAL_TYPES['PoseStamped'][1](SYSTEM), goal) == 'read'
