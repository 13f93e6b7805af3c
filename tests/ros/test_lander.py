"""The nodes fly a lander: plans of a free duration, a thrust as a wrench, a mass beside a pose."""

import re
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('rclpy')

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, WrenchStamped
from nav_msgs.msg import Odometry
from probe import START_TIMEOUT
from sensor_msgs.msg import JointState
from trajectory_rules import nanoseconds, received

from trc_core import get_system
from trc_core.flight.assembly import Incomplete, StateAssembly
from trc_core.flight.limits import CommandLimits
from trc_core.flight.ranges import StateBox
from trc_core.flight.safety import Measurement, Proposal, SafetyMonitor
from trc_core.flight.settings import Settings
from trc_core.numerics.plan import Plan
from trc_core.systems.rocket_landing import FULL, LEAST
from trc_ros.controller.diagnostics import task_values
from trc_ros.controller.plan_warnings import PlanWarnings
from trc_ros.conversions import HorizonWriter, PathWriter, PoseReader, part_reader

ROCKET = get_system('rocket_landing')
T = ROCKET.horizon
START = [600.0, -200.0, 900.0, -20.0, 5.0, -30.0, 2200.0]
WRENCH = ('-p', 'command_type:=WrenchStamped', '-p', "command_axes:=['x', 'y', 'z']")
PARAMETERS = ('--params-file', 'params/rocket_landing.yaml', *WRENCH)
CLASSICAL = ('-p', 'model_path:=classical', '-p', 'slow_plans:=warn')


def plan_of(seconds):
    rng = np.random.default_rng(1)
    controls, states = rng.normal(size=(T, 3)), rng.normal(size=(T + 1, 7))
    controls *= LEAST / np.linalg.norm(controls, axis=1)[:, None]
    return Plan(controls, states, 1.0, 'test', times=np.linspace(0.0, seconds, T + 1))


def odometry(x, frame_id='map'):
    message = Odometry()
    message.header.frame_id = frame_id
    p, v = message.pose.pose.position, message.twist.twist.linear
    p.x, p.y, p.z, v.x, v.y, v.z = x[:6]
    return message


def mass(kilograms):
    return JointState(name=['mass'], position=[kilograms])


def test_the_horizon_says_how_far_apart_its_points_are():
    write, stamp = HorizonWriter(ROCKET), Time(sec=5, nanosec=7)
    for seconds in (97.3, 12.0, 0.1):  # one writer, whose messages are filled again and again
        plan = plan_of(seconds)
        message = received(write(plan, stamp))
        assert message.joint_names == ['x', 'y', 'z', 'mass']
        for k, point in enumerate(message.points):
            assert nanoseconds(point.time_from_start) == round(1e9 * k * seconds / T)
            assert list(point.positions) == plan.states[k, [0, 1, 2, 6]].tolist()
            assert k == T or list(point.effort[:3]) == plan.controls[k].tolist()


def test_a_path_is_stamped_by_the_times_of_its_plan():
    path = PathWriter(ROCKET)(plan_of(100.0), Time(sec=5))
    assert [pose.header.stamp.sec for pose in path.poses] == [5 + 2 * k for k in range(T + 1)]


def test_the_time_to_go_is_in_the_diagnostics():
    monitor = SafetyMonitor(ROCKET, Settings(CommandLimits.of(ROCKET), 0.5))
    x, goal = Measurement(np.array(START), 3.0), np.zeros(7)
    monitor.decide(3.0, x, goal, Proposal(plan_of(60.0)))
    assert task_values(monitor, replace(x, time=13.0), goal, 'goal')['time_to_go_s'] == 50.0
    assert task_values(monitor, replace(x, time=99.0), goal, 'goal')['time_to_go_s'] == 0.0


def test_a_warning_is_logged_once_whatever_its_number():
    lines, anywhere = [], StateBox.unlimited(ROCKET)
    warnings = PlanWarnings(lines.append, anywhere, anywhere)
    for speed in (31, 30, 29):
        text = f'full thrust from now on meets the ground at {speed} m/s'
        warnings.note(replace(plan_of(20.0), warnings=(text,)), None)
    assert lines == ['plan: full thrust from now on meets the ground at 31 m/s']
    assert warnings.latest == ('full thrust from now on meets the ground at 29 m/s',)


def test_a_mass_comes_beside_an_odometry():
    read, assembly = part_reader('Odometry', ROCKET), StateAssembly(ROCKET)
    with pytest.raises(Incomplete, match='no mass so far'):
        assembly.add(read(odometry(START)), 1.0, None, 1.0)
    assembly.begin()
    found, _ = assembly.add(read(mass(2200.0)), 1.01, None, 1.01)
    np.testing.assert_array_equal(found.x, START)
    assert found.time == 1.0  # a state is as old as its oldest coordinate


def test_a_goal_that_is_a_pose_leaves_the_mass_open():
    message = PoseStamped()
    message.pose.position.x = 3.0
    np.testing.assert_array_equal(PoseReader(ROCKET)(message), [3.0, 0, 0, 0, 0, 0, 0])
    fixed = replace(ROCKET, terminal=ROCKET.state_names)
    with pytest.raises(ValueError, match='cannot carry all'):
        PoseReader(fixed)


@pytest.mark.long
def test_a_lander_lands_over_dds(start, namespace, make_probe):
    probe = make_probe(namespace, command_kind=WrenchStamped)
    both = ('-r', f'__ns:={namespace}', *PARAMETERS, '-p', 'use_sim_time:=true')
    start('controller', *both, *CLASSICAL, '-p', 'cycle_on:=state')
    heard = f'{namespace}/command'
    probe.require(lambda: probe.node.count_publishers(heard), 'the controller', START_TIMEOUT)
    plant = start(
        *('plant', *both, '-p', 'lockstep:=true', '-p', 'lockstep_timeout:=20.0'),
        *('-p', 'state_rate:=10.0', '-p', f'initial_state:={START}'),
    )
    probe.require(lambda: 'the flight is over' in plant.log(), 'the ground', timeout=120.0)
    miss, speed = re.search(r'ground, (\S+) m from the origin, at (\S+) m/s', plant.log()).groups()
    assert float(miss) < 1.0
    assert float(speed) < 1.0
    probe.spin(1.0)
    forces = np.array(
        [[f.x, f.y, f.z] for f in (r.message.wrench.force for r in probe.log.command)]
    )
    lengths = np.linalg.norm(forces, axis=1)
    assert lengths[-1] == 0.0  # the engine is off
    flown = lengths[lengths > 0.0]
    assert flown.min() >= LEAST * (1 - 1e-9)
    assert flown.max() <= FULL * (1 + 1e-9)
    assert probe.diagnosis('safety')['reason'].startswith('arrived')


WRONG = (  # a weak engine that points elsewhere, a mass that is told too small, gusts
    *('-p', 'input_gain:=0.97', '-p', 'misalignment:=0.035', '-p', 'disturbance:=0.01'),
    *('-p', 'measurement_bias:=[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -44.0]'),
)
REMEDIES = {
    'reserve': ('-p', "model_parameters:=['thrust_gain=0.92']"),
    'learning': ('-p', 'adaptation.enabled:=true'),
}


@pytest.mark.long
@pytest.mark.parametrize('remedy', REMEDIES)
def test_a_lander_that_is_wrong_in_every_way_lands(start, namespace, make_probe, remedy):
    probe = make_probe(namespace, command_kind=WrenchStamped)
    both = ('-r', f'__ns:={namespace}', *PARAMETERS, '-p', 'use_sim_time:=true')
    start('controller', *both, '-p', 'cycle_on:=state', *REMEDIES[remedy])
    plant = start(
        *('plant', *both, '-p', 'lockstep:=true', '-p', 'lockstep_timeout:=20.0', *WRONG),
        *('-p', 'state_rate:=10.0', '-p', f'initial_state:={START}', '-p', 'seed:=4'),
    )
    landed = re.compile(r'ground, (\S+) m from the origin, at (\S+) m/s')
    probe.require(lambda: 'the flight is over' in plant.log(), 'the ground', timeout=150.0)
    miss, speed = landed.search(plant.log()).groups()
    assert float(miss) < 2.0
    assert float(speed) < 2.0


@pytest.mark.long
def test_a_lander_is_flown_by_odometry_and_mass(start, namespace, make_probe):
    probe = make_probe(namespace, command_kind=WrenchStamped)
    node = start(
        *('controller', '-r', f'__ns:={namespace}', *PARAMETERS, *CLASSICAL),
        *('-p', 'state_type:=Odometry', '-p', 'use_stamps:=false'),
    )
    probe.meet(node, 'state')
    probe.open_state(Odometry)
    rest = probe.node.create_publisher(JointState, f'{namespace}/state_rest', 1)
    for _ in range(30):
        probe.publish_state(odometry(START))
        probe.spin(0.05)
    assert not probe.log.command  # without a mass there is no state
    for _ in range(60):
        probe.publish_state(odometry(START))
        rest.publish(mass(START[6]))
        probe.spin(0.05)
    assert probe.log.command
