"""Turns of plant and controller: the same bytes every time, and no turn that hangs."""

import threading
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')

from probe import START_TIMEOUT, arguments
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from trc_core import SYSTEMS
from trc_core.simulation import make_plant
from trc_ros.plant.lockstep import LockStep, Turn
from trc_ros.plant.node import EPOCH
from trc_ros.plant.simulation import Simulation

PERIOD = 0.01  # [s] of the plant's states
PATIENCE = 30.0  # [s] for what takes a second on an idle machine
LOCKSTEP = ('-p', 'lockstep:=true', '-p', 'seed:=5', '-p', 'speed:=10')
IMPERFECT = (
    *('-p', 'measurement_noise:=0.01', '-p', 'disturbance:=0.05', '-p', 'actuation_delay:=0.02'),
    *('-p', 'input_gain:=0.9'),
)


class Responder:
    """Answers every state x with u = -K x, or only watches; keeps the bytes of what it saw."""

    def __init__(self, probe, watches=False):
        self.seen = {}
        """Bytes of a state by the nanoseconds of its stamp."""
        self.arrivals = {}
        """When a state first came, on the steady clock, by the same."""
        self.shown = 0
        """States that came, repetitions too."""
        self.answers = 0 if watches else 10**9
        """How many turns it still answers."""
        qos = QoSProfile(depth=1000)  # of a flight that is looked at later, too
        if not watches:  # beside a controller it must not publish commands
            self._command = probe.node.create_publisher(Float64MultiArray, 'command', qos)
        probe.node.create_subscription(JointState, 'state', self._answer, qos)

    def _answer(self, message):
        stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        self.seen[stamp] = bytes(message.position) + bytes(message.velocity)
        self.arrivals.setdefault(stamp, time.monotonic())
        self.shown += 1
        self.answers -= 1
        if self.answers >= 0:
            u = -2.0 * message.position[0] - 3.0 * message.velocity[0]
            self._command.publish(Float64MultiArray(data=[u]))


@pytest.fixture
def turns(start, make_probe):
    """Starts a plant in lock-step and a responder."""

    def turns(name, *ros_args, answers=10**9):
        probe = make_probe(f'/lockstep_{name}')
        responder = Responder(probe)
        responder.answers = answers
        arguments_ = arguments('double_integrator', f'/lockstep_{name}')
        node = start('plant', *arguments_, '-p', 'lockstep:=true', *ros_args)
        return probe, responder, node

    return turns


def flown(count, *started):
    """The first states of flights, that `turns` began, as (stamp [ns], bytes)."""
    flights = []
    for probe, responder, node in started:
        probe.require(lambda seen=responder.seen: len(seen) >= count, f'{count} turns', 60.0)
        node.kill()
        flights.append(list(responder.seen.items())[:count])
    return flights


def test_the_same_seed_gives_the_same_bytes(turns):
    count = 300
    seeds = {'one': 5, 'two': 5, 'three': 6}
    started = [turns(name, *IMPERFECT, '-p', f'seed:={seed}') for name, seed in seeds.items()]
    first, second, other = flown(count, *started)
    assert first == second
    assert [stamp for stamp, _ in first] == [stamp for stamp, _ in other]
    assert not {state for _, state in first} & {state for _, state in other}
    stamps = np.array([stamp for stamp, _ in first])
    np.testing.assert_array_equal(stamps, np.rint((EPOCH + PERIOD * np.arange(count)) * 1e9))


@pytest.mark.long
def test_the_controller_flies_the_same_way_twice(start, make_probe):
    simulated = ('-p', 'cycle_on:=state', '-p', 'use_sim_time:=true')
    probes = [make_probe(namespace) for namespace in ('/lockstep_a', '/lockstep_b')]
    watchers = [Responder(probe, watches=True) for probe in probes]
    own = [arguments('double_integrator', f'/lockstep_{name}') for name in 'ab']
    plants = [start('plant', *a, *LOCKSTEP, '-p', 'state_rate:=3', *IMPERFECT) for a in own]
    for probe, watcher in zip(probes, watchers, strict=True):
        probe.require(lambda w=watcher: w.seen, 'the first state', START_TIMEOUT)
    controllers = [start('controller', *a, *simulated) for a in own]
    for probe, watcher in zip(probes, watchers, strict=True):
        probe.require(lambda w=watcher: len(w.seen) >= 40, '40 turns', START_TIMEOUT)
    assert not any('no command within' in plant.log() for plant in plants)
    for node in (*plants, *controllers):
        node.kill()
    flights = [list(watcher.seen.items())[:40] for watcher in watchers]
    assert flights[0] == flights[1]
    positions = [np.frombuffer(state)[0] for _, state in flights[0]]
    assert abs(positions[-1]) < 0.2 < abs(positions[0])


def test_every_state_answers_the_command_before(turns):
    [states] = flown(100, turns('exact', '-p', 'initial_state:=[1.0, 0.0]'))
    plant = make_plant('system', SYSTEMS['double_integrator'], None, PERIOD / 5)
    x = plant.reset([1.0, 0.0])
    for _, found in states:
        np.testing.assert_allclose(np.frombuffer(found), x, rtol=1e-12, atol=1e-12)
        x = plant.step([-2.0 * x[0] - 3.0 * x[1]], PERIOD)


def test_a_controller_that_falls_silent_costs_one_line_and_the_last_command_holds(turns):
    probe, responder, node = turns('silent', '-p', 'lockstep_timeout:=0.1', answers=50)
    clock = []
    probe.node.create_subscription(Clock, '/clock', clock.append, QoSProfile(depth=10))
    probe.require(lambda: len(responder.seen) >= 60, '10 turns after the last answer', 60.0)
    assert node.log().count('no command within 0.1 s of a state; the last one holds') == 1
    velocities = [np.frombuffer(state)[1] for state in list(responder.seen.values())[50:]]
    np.testing.assert_allclose(np.diff(velocities, 2), 0.0, atol=1e-9)
    assert clock[-1].clock.sec >= EPOCH


def test_the_first_turn_waits_for_somebody_to_answer(turns):
    probe, responder, _ = turns('first', answers=0)
    probe.require(lambda: responder.shown >= 2, 'the first state again', 60.0)
    assert list(responder.seen) == [EPOCH * 10**9]
    responder.answers = 10
    probe.require(lambda: len(responder.seen) > 5, 'turns', PATIENCE)


@pytest.mark.long
def test_the_speed_is_limited_when_asked_and_only_then(turns):
    elapsed = {}
    for name, ros_args in (('limited', ('-p', 'speed:=0.1')), ('unlimited', ())):
        probe, responder, node = turns(name, *ros_args)
        probe.require(lambda r=responder: len(r.seen) > 21, '21 turns', 60.0)
        arrivals = list(responder.arrivals.values())
        elapsed[name] = arrivals[21] - arrivals[1]  # the first turn repeats itself
        node.kill()
    # A busy machine may be slower, never much faster; without a limit a turn takes 1 ms, not 100.
    assert elapsed['limited'] > 0.8 * 20 * PERIOD / 0.1
    assert elapsed['unlimited'] < elapsed['limited']


def test_a_reset_is_seen_before_the_plant_moves_on():
    plant = make_plant('system', SYSTEMS['double_integrator'])
    simulation = Simulation(plant, np.array([0.0, 1.0]), np.zeros(1), True)
    simulation.measure()
    simulation.reset(np.array([3.0, 1.0]))
    simulation.advance(0.5)
    assert simulation.measure().tolist() == [3.0, 1.0]
    simulation.advance(0.5)
    assert simulation.measure() == pytest.approx([3.5, 1.0])


def test_a_state_that_nobody_answers_is_waited_for_and_told_once():
    moved, warnings = [], []
    turn = Turn(lambda: moved.append(time.monotonic()), lambda: None, lambda: True)
    steps = LockStep(turn, 0.05, 0.001, False, warnings.append, pytest.fail)
    steps.start()
    wait_for(lambda: len(moved) > 5)
    steps.stop()
    assert np.diff(moved).min() > 0.04
    assert len(warnings) == 1


def test_a_state_that_did_not_go_out_is_not_waited_for():
    moved = []
    turn = Turn(lambda: moved.append(1), lambda: None, lambda: False)
    steps = LockStep(turn, 10 * PATIENCE, 0.001, False, pytest.fail, pytest.fail)
    steps.start()
    wait_for(lambda: len(moved) > 50)
    steps.stop()


def test_somebody_who_commands_by_a_clock_of_his_own_holds_nothing_up():
    moved, shown, ended = [], [], threading.Event()
    turn = Turn(lambda: moved.append(1), lambda: None, lambda: shown.append(1) or True)
    steps = LockStep(turn, 10 * PATIENCE, 0.0, True, pytest.fail, pytest.fail)

    def command():
        while not ended.wait(0.01):
            if len(shown) > 1:
                steps.answer()

    thread = threading.Thread(target=command)
    thread.start()
    steps.start()
    try:
        wait_for(lambda: len(moved) > 10)
    finally:
        steps.stop()
        ended.set()
        thread.join()


def wait_for(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, 'it took too long'
        time.sleep(0.01)


def test_what_breaks_a_turn_is_reported():
    failures, broken = [], threading.Event()

    def fail(error):
        failures.append(error)
        broken.set()

    turn = Turn(lambda: 1 / 0, lambda: None, lambda: False)
    steps = LockStep(turn, 0.05, 0.0, False, pytest.fail, fail)
    steps.start()
    assert broken.wait(PATIENCE)
    steps.stop()
    assert isinstance(failures[0], ZeroDivisionError)
