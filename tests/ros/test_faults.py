"""Every fault as a subscriber sees it over DDS."""

import itertools
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Time
from probe import Probe, arguments, launch
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool

from trc_core import SYSTEMS
from trc_ros.conversions import JointStateReader, JointStateWriter, RejectedInput
from trc_ros.plant.faults import FAULTS, FOREIGN, JUMP, LATENESS, FaultInjector, seconds

NAMESPACE, SPEED = '/faults', 0.5
READ = JointStateReader(SYSTEMS['double_integrator'])
OBSERVED = 20  # messages
SILENCE = 0.3  # [s] without a message: thirty are missing
PATIENCE = 30.0  # [s] for what takes a fraction of a second on an idle machine
PROMPT = 0.1  # [s] from a stamp to its arrival, at least once


class Bench:
    """A plant that drifts at a constant speed, and what it publishes."""

    def __init__(self, probe, node):
        self.probe, self.node = probe, node

    def set(self, **values):
        for name, value in values.items():
            client = self.probe.node.create_client(
                SetParameters, f'{NAMESPACE}/plant/set_parameters'
            )
            request = SetParameters.Request(
                parameters=[Parameter(name, value=value).to_parameter_msg()]
            )
            result = self.probe.call(client, request).results[0]
            assert result.successful, result.reason

    def service(self, data):
        client = self.probe.node.create_client(SetBool, f'{NAMESPACE}/plant/fault')
        return self.probe.call(client, SetBool.Request(data=data))

    def observe(self, span=PATIENCE):
        """The next messages, those of `span` seconds at most, and their ages on arrival [s]."""
        self.probe.spin(0.1)  # what was under way
        self.probe.log.state.clear()
        self.probe.wait(lambda: len(self.probe.log.state) >= OBSERVED, span)
        received = list(self.probe.log.state)
        wall = time.time() - time.monotonic()
        messages = [r.message for r in received]
        ages = [wall + r.time - seconds(r.message) for r in received]
        return messages, np.array(ages)

    def is_healthy(self):
        messages, ages = self.observe()
        x = np.array([READ(message) for message in messages])
        moves = (np.diff(x[:, 0]) > 0).mean() > 0.5 and (x[:, 1] == SPEED).all()
        return len(messages) >= OBSERVED and 0.0 <= ages.min() < PROMPT and moves


@pytest.fixture(scope='module')
def drifting(context, tmp_path_factory):
    probe = Probe(context, NAMESPACE, 'slider')
    probe.listen_to_state()
    node = launch(
        'plant',
        tmp_path_factory.mktemp('faults') / 'plant.log',
        *arguments('double_integrator', NAMESPACE),
        *('-p', f'initial_state:=[0.0, {SPEED}]', '-p', 'wait_for_command:=false'),
    )
    probe.meet(node, 'command')
    yield Bench(probe, node)
    node.kill()
    probe.close()


@pytest.fixture
def bench(drifting):
    """The drifting plant, without a fault before and after the test."""
    drifting.set(fault='', fault_duration=0.0)
    yield drifting
    drifting.set(fault='', fault_duration=0.0)
    assert drifting.is_healthy()


def is_silent(messages, ages):
    return not messages


def refused_for(reason):
    def judge(messages, ages):
        for message in messages:
            with pytest.raises(RejectedInput) as refusal:
                READ(message)
            assert refusal.value.reason == reason
        return len(messages) >= OBSERVED and ages.min() < PROMPT

    return judge


def is_from_the_past(messages, ages):
    positions = [READ(message)[0] for message in messages]
    return len(set(positions)) > 10 and 0.0 <= ages.min() - JUMP < PROMPT


def stands_still(messages, ages):
    stamps = [seconds(message) for message in messages]
    assert all(a < b for a, b in itertools.pairwise(stamps))
    return len(messages) >= OBSERVED and len({READ(m).tobytes() for m in messages}) == 1


def is_old(messages, ages):
    moving = len({READ(message)[0] for message in messages}) > 10
    return moving and 0.0 <= ages.min() - LATENESS < PROMPT


def comes_among_foreign_joints(messages, ages):
    for message in messages:
        assert list(message.name) == [FOREIGN[0], 'slider', FOREIGN[1]]
        assert (message.position[1], message.velocity[1]) != (0.0, 0.0)
    return len(messages) >= OBSERVED and ages.min() < PROMPT


SEEN = {
    'dropout': is_silent,
    'nan': refused_for('not_finite'),
    'wrong_size': refused_for('wrong_size'),
    'duplicated_names': refused_for('duplicate_name'),
    'clock_jump_back': is_from_the_past,
    'frozen': stands_still,
    'late': is_old,
    'partial_joint_states': comes_among_foreign_joints,
}


def test_every_fault_is_tested():
    assert {*SEEN, 'wrapped_angle'} == set(FAULTS)


def faulty(name, x):
    """What goes out in place of state x of a cart with a pole."""
    system = SYSTEMS['cartpole_swingup']
    injector = FaultInjector(system, lambda line: None)
    injector.start(name, 0.0)
    return injector(JointStateWriter(system)(np.array(x), Time(sec=1)))


def test_only_angles_of_joints_are_wrapped():
    for angle, wrapped in ((3.0, 3.0), (3.5, 3.5 - 2 * np.pi), (-10.0, 4 * np.pi - 10.0)):
        (message,) = faulty('wrapped_angle', [7.0, 8.0, angle, 9.0])
        assert message.position.tolist() == pytest.approx([7.0, wrapped])
        assert message.velocity.tolist() == [8.0, 9.0]


def test_partial_states_hold_one_joint_each_and_come_among_foreign_ones():
    cart, other, pole, _ = faulty('partial_joint_states', [1.0, 2.0, 3.0, 4.0])
    assert (cart.name, cart.position[0], cart.velocity[0]) == (['cart'], 1.0, 2.0)
    assert (pole.name, pole.position[0], pole.velocity[0]) == (['pole'], 3.0, 4.0)
    assert other.name == list(FOREIGN)
    assert {message.header.stamp.sec for message in (cart, other, pole)} == {1}


@pytest.mark.parametrize('fault', SEEN)
def test_a_subscriber_sees_the_fault_while_it_is_set(bench, fault):
    bench.set(fault=fault)
    if fault == 'late':
        bench.probe.spin(LATENESS)
    span = SILENCE if fault == 'dropout' else PATIENCE
    assert SEEN[fault](*bench.observe(span))


def test_a_fault_ends_by_itself_after_its_duration_and_logs_both(bench):
    before = bench.node.log()
    bench.set(fault_duration=2.0, fault='dropout')
    messages, _ = bench.observe(0.2)
    assert not messages
    bench.probe.require(lambda: bench.probe.log.state, 'states again', PATIENCE)
    assert bench.is_healthy()
    news = bench.node.log()[len(before) :]
    assert news.count("fault 'dropout' begins, for 2 s") == 1
    assert news.count("fault 'dropout' ends") == 1


def test_the_service_injects_and_clears_the_fault_that_the_parameter_names(bench):
    response = bench.service(True)
    assert not response.success
    assert "set the parameter 'fault' first; choose from ['clock_jump_back'" in response.message
    bench.set(fault='dropout')
    assert bench.service(False).success
    assert bench.is_healthy()
    assert bench.service(True).success
    assert is_silent(*bench.observe(SILENCE))


def test_an_unknown_fault_is_refused_with_the_known_ones(bench):
    with pytest.raises(AssertionError, match=r"'fault' is 'fire'; choose from \['dropout', 'nan'"):
        bench.set(fault='fire')


def test_a_plant_may_start_with_a_fault(plant, probe):
    node = plant('-p', 'fault:=dropout')
    probe.spin(0.3)
    assert not probe.log.state
    assert "fault 'dropout' begins, until cleared" in node.log()
