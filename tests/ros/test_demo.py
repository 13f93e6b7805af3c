"""`trc demo`: its numbers against flights whose truth is known, and short runs over real DDS."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from rosbags.rosbag2 import Reader

from tests.problem.robots import TWO_LINKS
from trc_core import SYSTEMS, System, get_system
from trc_core.flight.obstacles import Obstacle, ObstacleField
from trc_core.solvers import nlp
from trc_core.systems.bicycle_circles import bicycle_circles
from trc_core.systems.robot_task import RobotTask
from trc_core.systems.robot_view import seen, side_view_of
from trc_ros.conversions import ObstacleReader, obstacle_markers
from trc_ros.lab.children import Child, NodeError, find_params, node_command
from trc_ros.lab.demo.command import main
from trc_ros.lab.demo.demonstrated import Demonstrated
from trc_ros.lab.demo.drawn import draw_tasks, parameters_of
from trc_ros.lab.demo.figure import columns_of, draw_plant, draw_way, plane_of, predicted
from trc_ros.lab.demo.flight import Flight, Task
from trc_ros.lab.demo.report import (
    Score,
    clearance,
    cost_ratio,
    format_table,
    settling_time,
)
from trc_ros.lab.recording import Horizon, Samples, mean_controls

DEMO = (sys.executable, '-c', 'from trc_ros.lab.demo.command import main; main()')


def fly_open_loop(system, plan, goal, scale=1.0):
    """What a recording of `plan`, scaled, would look like at 100 Hz on a perfect plant."""
    start, substeps = 100.0, round(system.dt / 0.01)
    x, states = plan.states[0], [plan.states[0]]
    for u in scale * plan.controls:
        for _ in range(substeps):
            x = system.step(x, u, system.dt / substeps)
            states.append(x)
    times = start + system.dt / substeps * np.arange(len(states))
    commands = Samples(start + system.dt * np.arange(system.horizon), scale * plan.controls)
    task = Task('goal 1', goal, start, times[-1] + 0.1)
    return Flight(system, (task,), Samples(times, np.array(states)), commands, [], {})


@pytest.mark.parametrize('name', ['double_integrator', 'van_der_pol'])
def test_flying_the_optimum_costs_the_optimum(name):
    system = SYSTEMS[name]
    (x0,), (goal,) = system.sample(np.random.default_rng(0), 1)
    plan = nlp.solve(system, x0, goal)
    flight = fly_open_loop(system, plan, goal)
    assert cost_ratio(flight, flight.tasks[0]) == pytest.approx(1.0, abs=1e-4)
    worse = fly_open_loop(system, plan, goal, scale=0.8)
    assert cost_ratio(worse, worse.tasks[0]) > 1.001


def test_a_task_shorter_than_the_horizon_has_no_cost_ratio():
    system = SYSTEMS['double_integrator']
    (x0,), (goal,) = system.sample(np.random.default_rng(0), 1)
    flight = fly_open_loop(system, nlp.solve(system, x0, goal), goal)
    short = replace(flight.tasks[0], end=flight.tasks[0].start + 1.0)
    assert np.isnan(cost_ratio(flight, short))


def test_the_control_of_a_step_is_the_mean_of_what_was_held():
    commands = Samples(np.array([0.0, 1.0, 1.5]), np.array([[1.0], [3.0], [-1.0]]))
    u = mean_controls(SYSTEMS['van_der_pol'], commands, np.array([0.5, 1.5, 2.5]))
    assert u == pytest.approx(np.array([[2.0], [-1.0]]))


def test_settling_is_the_last_entry_into_the_tolerance():
    errors = np.array([1.0, 0.05, 0.5, 0.09, 0.01])
    states = Samples(10.0 + np.arange(5.0), np.stack([errors, np.zeros(5)], -1))
    task = Task('goal 1', np.zeros(2), start=9.5, end=20.0)
    assert settling_time(SYSTEMS['van_der_pol'], states, task) == 3.5
    assert settling_time(SYSTEMS['van_der_pol'], states, replace(task, end=13.0)) == float('inf')


def test_a_goal_that_was_not_reached_is_named():
    score = Score('van_der_pol', {}, (1.0, 1.2, float('nan')), (1.0, np.inf, np.inf))
    assert score.missed == 'goal 2 was not reached'
    assert '1.00 / never / never' in format_table([score])


@pytest.mark.parametrize(
    'name', [*SYSTEMS, 'arm', 'bicycle_circles', 'quadrotor', 'quadrotor_flip']
)
def test_every_system_has_parameters(name):
    assert find_params(name).name == f'{name}.yaml'


def test_a_file_is_named_to_both_nodes_with_its_task_and_flies_sweeps(tmp_path):
    path = tmp_path / 'two_links.urdf'
    path.write_text(TWO_LINKS)
    robot = Demonstrated.of(str(path), RobotTask(horizon=12, locked=['joint_2=0.3']))
    assert (robot.system.horizon, robot.system.n_u) == (12, 1)
    named = {'system': str(path), 'task.horizon': 12, 'task.locked': ['joint_2=0.3']}
    assert robot.named == named and robot.planned['model_path'] == 'classical'
    command = node_command('plant', 'cartpole', robot.named)
    assert 'task.horizon:=12' in command and f'system:={path}' in command
    assert '--params-file' not in command  # though a shipped system has that name
    shipped = Demonstrated.of('cartpole', RobotTask())
    assert (shipped.named, shipped.planned) == ({}, {})


def test_a_robot_is_drawn_in_three_columns_and_a_small_plant_in_one():
    (column,) = columns_of(SYSTEMS['cartpole'])
    assert [q.place for q in column] == [0, 1, 2, 3, 0] and column[-1].kind == 'control'
    positions, speeds, controls = columns_of(get_system('arm'))
    assert [q.place for q in positions] == list(range(6))
    assert [q.place for q in speeds] == list(range(6, 12))
    assert {q.kind for q in controls} == {'control'} and len(controls) == 6


def test_a_plant_without_joints_is_drawn_by_its_first_two_states():
    bounds = {'u_min': [-1.0], 'u_max': [1.0], 'R': [1.0], 'dt': 0.1, 'horizon': 10}
    tanks = System(
        name='tanks',
        dynamics=lambda x, u: [u[0], *(x[:-1] - x[1:])],
        state_names=[f'level_{i}' for i in range(9)],
        state_units=['m'] * 9,
        control_names=['pump'],
        control_units=['m/s'],
        joints=(),
        Q=np.ones(9),
        x0_box=np.ones(9),
        goal_box=np.zeros(9),
        **bounds,
    )
    assert plane_of(tanks) == (0, 1)
    assert [len(column) for column in columns_of(tanks)] == [9, 1]


def test_the_picture_of_a_robot_shows_where_it_was_and_where_its_tip_goes():
    arm = get_system('arm')
    goal = np.append([0.3, -1.2, 1.0, -1.4, -1.5, 0.2], np.zeros(6))
    states = np.linspace(np.zeros(12), goal, 20)
    task = Task('goal 1', goal, 0.0, 2.0)
    flight = Flight(arm, (task,), Samples(np.linspace(0.1, 1.9, 20), states), None, [], {})
    axes = Figure().subplots()
    draw_plant(axes, flight, [Samples(np.arange(20.0), states)], side_view_of(arm))
    predicted, flown, start, aim = (line.get_xydata() for line in axes.get_lines())
    tips = np.stack([seen(arm.robot.tip_position(x)) for x in states])
    for path in (predicted, flown):
        np.testing.assert_allclose(path, tips, atol=1e-12)
    np.testing.assert_allclose([start[-1], aim[-1]], tips[[0, -1]], atol=1e-12)


def passing_car():
    """A car that drives straight along x at 1 m/s, past a circle that comes towards the line."""
    circle = Obstacle((2.0, -1.0, 0.0), 0.5, 10.0, (0.0, 0.2, 0.0))
    times = np.linspace(10.1, 13.9, 39)
    states = np.zeros((39, 5))
    states[:, 0], states[:, 3] = times - 10.0, 1.0
    task = Task('restart 1', np.array([4.0, 0.0, 0.0, 0.0, 0.0]), 10.0, 14.0, (circle,))
    return Flight(bicycle_circles, (task,), Samples(times, states), None, [], {})


def test_the_least_distance_to_an_obstacle_counts_where_it_had_moved_to():
    flight = passing_car()
    t = np.linspace(0.0, 4.0, 4001)
    gap = np.hypot(t - 2.0, 1.0 - 0.2 * t).min() - 0.5
    assert clearance(flight, flight.tasks[0]) == pytest.approx(gap, abs=1e-3)
    table = format_table([Score('bicycle_circles', {}, (1.0,), (2.0,), (gap,))])
    label, value = table.splitlines()[-1].split(' [cm] ')
    assert (label, float(value)) == ('nearest to an obstacle', round(100 * gap, 1))


def test_an_obstacle_is_drawn_where_it_was_when_the_car_was_nearest():
    flight = passing_car()
    axes = Figure().subplots()
    view = side_view_of(bicycle_circles)
    draw_way(axes, flight, flight.tasks[0], [], view)
    first, nearest = (patch.center for patch in axes.patches)
    assert first == pytest.approx((2.0, -0.98))
    x, (_, y) = flight.states.values[:, 0], nearest
    gaps = np.hypot(x - 2.0, 1.0 - 0.2 * x)
    assert y == pytest.approx(-1.0 + 0.2 * x[gaps.argmin()])
    body, wheel = view.outline(np.array([1.0, 2.0, np.pi / 2, 0.0, 0.3]))
    assert np.abs(np.diff(body, axis=0)).max() == pytest.approx(0.51)
    assert wheel.mean(0) == pytest.approx([1.0, 2.33])  # in front, along the heading
    assert np.arctan2(*np.diff(wheel, axis=0)[0][::-1]) == pytest.approx(np.pi / 2 + 0.3)


def test_obstacles_reach_the_nodes_as_they_are_published():
    read, field = ObstacleReader(bicycle_circles), ObstacleField(bicycle_circles)
    obstacles = draw_tasks(bicycle_circles, 2, seed=3)[1].obstacles
    assert all(any(o.velocity) for o in obstacles) and len(obstacles) >= 3
    for now, anew in ((5.0, True), (5.1, False)):
        field = read(obstacle_markers(obstacles, now, 6, anew), field, 9.0)
    expected = parameters_of(bicycle_circles, obstacles, 6.0, np.zeros(5))
    assert dict(field.at(6.0, (0.0, 0.0, 0.0))) == pytest.approx(expected, abs=1e-6)
    assert list(read(obstacle_markers((), 6.0, 0, True), field, 9.0).obstacles) == []


def test_a_prediction_is_finer_than_its_steps_and_passes_through_them():
    system = SYSTEMS['van_der_pol']
    plan = nlp.solve(system, np.array([1.0, 0.0]), np.zeros(2))
    drawn = predicted(system, Horizon(5.0, 5.0, plan.states, plan.controls))
    np.testing.assert_allclose(drawn.values[::8], plan.states, atol=1e-9)
    between = system.step(plan.states[3], plan.controls[3], 5 / 8 * system.dt)
    np.testing.assert_allclose(drawn.values[8 * 3 + 5], between, atol=1e-9)
    np.testing.assert_allclose(np.diff(drawn.times), system.dt / 8)


INTERRUPTED = """
import signal, subprocess, sys
from trc_ros.lab.children import Child

popen, started = subprocess.Popen, []

def interrupted(*words, **settings):
    started.append(popen(*words, **settings))
    signal.raise_signal(signal.SIGINT)
    return started[0]

subprocess.Popen = interrupted
try:
    with Child([sys.executable, '-c', 'import time; time.sleep(60)'], 'plant'):
        pass
except KeyboardInterrupt:
    print('ended' if started[0].poll() is not None else 'left behind')
"""


def test_a_child_that_is_started_while_ctrl_c_comes_does_not_outlive_it():
    # in a process of its own: the signal might reach a callback of the test's
    run = [sys.executable, '-c', INTERRUPTED]
    found = subprocess.run(run, capture_output=True, text=True, timeout=60)
    assert found.stdout.split() == ['ended'], found.stderr


def test_a_child_that_ends_is_reported_with_its_last_line():
    command = [sys.executable, '-c', 'print("before"); raise SystemExit("no such plant")']
    message = 'plant ended with code 1: no such plant'
    with Child(command, 'plant') as child, pytest.raises(NodeError, match=message):
        check_for_a_while(child)


def check_for_a_while(child):
    for _ in range(100):
        child.check()
        time.sleep(0.1)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--systems', 'vdp'), "unknown system 'vdp'; choose from"),
        (('--output', '/dev/null/demo'), "cannot write to '/dev/null/demo'"),
    ],
)
def test_a_wrong_option_is_one_readable_line(arguments, message):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert message in stop.value.code
    assert '\n' not in stop.value.code


def test_a_short_flight_leaves_a_figure_a_bag_and_a_table(tmp_path):
    answer = subprocess.run(
        [*DEMO, '--systems', 'van_der_pol', '--seconds', '3', '--output', tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    assert 'deadline misses' in answer.stdout
    assert {path.name for path in tmp_path.iterdir()} == {'bag', 'van_der_pol.png'}
    with Reader(tmp_path / 'bag') as bag:
        counts = {connection.topic: connection.msgcount for connection in bag.connections}
    assert counts['/van_der_pol/state'] > 200
    assert counts['/van_der_pol/command'] > 30
    assert counts['/van_der_pol/controller/horizon'] > 30
    assert counts['/van_der_pol/goal'] == 3
    assert counts['/diagnostics'] >= 2


@pytest.mark.long
def test_a_fault_leaves_a_picture_of_the_recovery(tmp_path):
    answer = subprocess.run(
        [*DEMO, '--systems', 'double_integrator', '--fault', 'nan', '--output', tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    assert re.search(r'safe \d+ ms after the fault began, recovered \d+ ms', answer.stdout)
    (picture,) = tmp_path.iterdir()
    assert picture.name == 'double_integrator_nan.png'
    assert picture.stat().st_size > 10_000


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_everything_and_keeps_the_bag(tmp_path, number):
    mark = f'demo-test-{os.getpid()}'
    process = subprocess.Popen(
        [*DEMO, '--systems', 'double_integrator', '--output', tmp_path],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, 'TRC_TEST_MARK': mark},
    )
    wait_for(lambda: any(tmp_path.glob('.unfinished-*/bag/*.mcap')), 60)
    wait_for(lambda: len(processes_with(mark)) == 3, 60)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert 'Traceback' not in errors
    assert 'interrupted' in errors
    assert processes_with(mark) == []
    with Reader(tmp_path / 'bag') as bag:
        assert bag.message_count >= 0


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'it took too long'
        time.sleep(0.1)


def processes_with(mark):
    """Process ids whose environment holds the mark."""
    found = []
    for environment in Path('/proc').glob('[0-9]*/environ'):
        try:
            if mark.encode() in environment.read_bytes():
                found.append(int(environment.parent.name))
        except OSError:  # ended meanwhile, or not ours
            continue
    return found
