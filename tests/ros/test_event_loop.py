"""A cycle for every state as soon as it comes, and cycles by the clock where none comes."""

import itertools
import queue
import time

import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Time
from sensor_msgs.msg import JointState

from trc_ros.controller.event_loop import GRACE, EventLoop

PATIENCE = 60.0  # [s] for what takes a second on an idle machine
FOREVER = 1000.0  # [s]
PATIENT = ('-p', 'state_timeout:=10')


class News:
    """What somebody else puts in."""

    def __init__(self):
        self._queue = queue.SimpleQueue()

    def put(self):
        self._queue.put(None)

    def __call__(self, seconds):
        try:
            self._queue.get(timeout=seconds)
        except queue.Empty:
            return False
        return True


@pytest.fixture
def run():
    """Starts a loop; its news, and the times at which cycles began."""
    loops = []

    def run(period, timed=True):
        news, cycles = News(), queue.SimpleQueue()
        loop = EventLoop(news, timed, period, lambda: cycles.put(time.monotonic()), pytest.fail)
        loops.append(loop)
        loop.start()
        cycles.get(timeout=PATIENCE)  # the first one waits for nothing
        return news, cycles

    yield run
    for loop in loops:
        loop.stop()


@pytest.mark.parametrize('timed', [True, False])
def test_news_begin_a_cycle_long_before_its_time(run, timed):
    news, cycles = run(FOREVER, timed)
    for _ in range(3):
        news.put()
        cycles.get(timeout=PATIENCE)
    assert cycles.empty()


def test_without_news_cycles_begin_by_the_clock_and_late_news_are_waited_for(run):
    news, cycles = run(0.5)
    starts = [cycles.get(timeout=PATIENCE) for _ in range(2)]
    news.put()
    starts += [cycles.get(timeout=PATIENCE) for _ in range(2)]
    gaps = [b - a for a, b in itertools.pairwise(starts)]
    assert gaps[0] >= 0.5 > gaps[1] and gaps[2] >= 0.5 * GRACE


def test_a_loop_without_a_clock_waits_for_news_only(run):
    _, cycles = run(0.001, timed=False)
    time.sleep(0.3)
    assert cycles.empty()


def test_every_state_is_answered_at_once(controller, probe):
    controller('-p', 'cycle_on:=state', '-p', 'controller_frequency:=2', *PATIENT)
    probe.open_state()
    for k in range(4):
        probe.publish_state(stamped(probe, 1.0 + 0.1 * k))
        probe.require(
            lambda x=1.0 + 0.1 * k: positions(probe)[-1:] == [x], f'the answer to state {k}'
        )
        probe.spin(0.5)  # a period


def test_states_that_come_too_fast_are_left_out(controller, probe):
    controller('-p', 'cycle_on:=state', '-p', 'controller_frequency:=0.1', *PATIENT)
    probe.open_state()
    for x in (1.0, 1.1, 1.2):
        probe.publish_state(stamped(probe, x))
        probe.spin(0.2)
    probe.require(lambda: positions(probe), 'an answer')
    assert positions(probe) == [1.0]


def test_the_fallback_flies_when_states_stop(controller, probe):
    controller('-p', 'cycle_on:=state', '-p', 'fallback_mode:=zero', '-p', 'state_timeout:=0.3')
    probe.fly((1.0, 0.0), 0.5)
    assert probe.commands()[-1] != 0.0
    probe.require(lambda: probe.commands()[-1] == 0.0, 'the fallback', PATIENCE)


def test_simulated_time_is_what_the_stamps_of_states_say(controller, probe):
    simulated = ('-p', 'cycle_on:=state', '-p', 'use_sim_time:=true')
    controller(*simulated, '-p', 'state_timeout:=0.2', '-p', 'command_limits.rate:=[0.1]')
    probe.open_state()
    answers = []
    for k in (0, 1, 2, 0):  # in the end it starts over
        count = len(probe.log.command)
        message = JointState(name=['slider'], position=[1.0 - 0.1 * k], velocity=[-0.3 * k])
        message.header.stamp = Time(sec=100 + k)  # much longer apart than the timeout
        probe.publish_state(message)
        probe.require(lambda count=count: len(probe.log.command) > count, 'an answer', PATIENCE)
        answers.append(probe.commands()[-1])
    probe.spin(0.5)
    assert len(probe.log.command) == 4  # one for each, and none in between
    assert answers[3] == answers[0]


def test_a_simulated_state_without_a_stamp_is_refused(controller, probe):
    node = controller('-p', 'cycle_on:=state', '-p', 'use_sim_time:=true')
    probe.open_state()
    probe.publish_state(JointState(name=['slider'], position=[1.0], velocity=[0.0]))
    probe.require(lambda: 'it says what time it is' in node.log(), 'a refusal', PATIENCE)
    assert probe.log.command == []


def stamped(probe, x):
    message = JointState(name=['slider'], position=[x], velocity=[0.0])
    message.header.stamp = probe.node.get_clock().now().to_msg()
    return message


def positions(probe):
    """Where the plans of the log begin, each place once."""
    found = [r.message.points[0].positions[0] for r in probe.log.horizon]
    return list(dict.fromkeys(found))
