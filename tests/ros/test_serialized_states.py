"""A JointState that is read from its bytes says what rclpy reads from them."""

import struct

import pytest

pytest.importorskip('rclpy')

from hypothesis import given
from hypothesis import strategies as st
from rclpy._rclpy_pybind11 import RMWError
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import JointState

from trc_ros.conversions import deserializer

texts = st.text(st.characters(blacklist_characters='\0', blacklist_categories=['Cs']), max_size=9)
names = st.lists(texts, max_size=4)
numbers = st.lists(st.floats(allow_nan=False), max_size=4)
FIELDS = ('name', 'position', 'velocity', 'effort')


@st.composite
def states(draw, frame_id=texts, name=names):
    message = JointState(name=draw(name))
    message.header.frame_id = draw(frame_id)
    message.header.stamp.sec = draw(st.integers(-(2**31), 2**31 - 1))
    message.header.stamp.nanosec = draw(st.integers(0, 2**32 - 1))
    for field in FIELDS[1:]:
        setattr(message, field, draw(numbers))
    return message


def same(found, message):
    assert found.header.stamp == message.header.stamp
    assert found.header.frame_id == message.header.frame_id
    for field in FIELDS:
        assert list(getattr(found, field)) == list(getattr(message, field))


@given(st.data())
def test_whatever_came_before(data):
    read = deserializer(JointState)
    for _ in range(2):
        message = data.draw(states())
        for later in (message, data.draw(states(st.just(message.header.frame_id)))):
            again = data.draw(states(st.just(later.header.frame_id), st.just(list(later.name))))
            same(read(bytes(serialize_message(later))), later)
            same(read(bytes(serialize_message(again))), again)


def test_from_the_second_one_on_without_rclpy(monkeypatch):
    read, message = deserializer(JointState), JointState(name=['slider'], position=[0.5])
    content = bytes(serialize_message(message))
    read(content)
    monkeypatch.setattr('trc_ros.conversions.serialized_states.deserialize_message', None)
    same(read(content), message)


@pytest.mark.parametrize('end', range(0, 52, 4))
def test_one_that_is_cut_short_is_none(end):
    read = deserializer(JointState)
    message = JointState(name=['slider'], position=[0.5], velocity=[1.0])
    content = bytes(serialize_message(message))
    read(content)
    with pytest.raises(RMWError):
        deserialize_message(content[:end], JointState)
    with pytest.raises(RMWError):
        read(content[:end])


def test_a_count_that_is_too_large_is_none():
    read, message = deserializer(JointState), JointState(name=['slider'], position=[0.5])
    content = bytearray(serialize_message(message))
    read(bytes(content))
    place = content.find(struct.pack('<d', 0.5)) - 8  # the count, and what pads it
    assert struct.unpack_from('<I', content, place) == (1,)
    struct.pack_into('<I', content, place, 2**31)
    with pytest.raises(RMWError):
        read(bytes(content))
