"""The shipped arm: its sizes by Denavit and Hartenberg, its problems, its plans, its drawing."""

import subprocess
import sys

import numpy as np
import pytest

from trc_core import Controller, get_system
from trc_core.evaluation.problems import draw_problems
from trc_core.systems.robot_view import seen, side_view_of, sticks

D = [0.1625, 0.0, 0.0, 0.1333, 0.0997, 0.0996]  # [m]
A = [0.0, -0.425, -0.3922, 0.0, 0.0, 0.0]  # [m]
TWISTS = np.array([0.5, 0.0, 0.0, 0.5, -0.5, 0.0]) * np.pi
HALF_A_TURN = np.diag([-1.0, -1.0, 1.0])  # of the base: there the arm points backwards at zero


@pytest.fixture(scope='module')
def arm():
    return get_system('arm')


@pytest.fixture(scope='module')
def problems(arm):
    return draw_problems(arm, 300)


def denavit_hartenberg(q):
    """The place of the tip (3,) by the published table of lengths."""
    T = np.eye(4)
    for d, a, twist, angle in zip(D, A, TWISTS, q, strict=True):
        c, s, ct, st = np.cos(angle), np.sin(angle), np.cos(twist), np.sin(twist)
        T = T @ np.array(
            [
                [c, -s * ct, s * st, a * c],
                [s, c * ct, -c * st, a * s],
                [0.0, st, ct, d],
                [0.0, 0.0, 0.0, 1.0],
            ]
        )
    return HALF_A_TURN @ T[:3, 3]


def test_the_tip_is_where_the_published_lengths_put_it(arm):
    for q in np.random.default_rng(0).uniform(-6.0, 6.0, (20, 6)):
        tip = arm.robot.tip_position(np.append(q, q))
        np.testing.assert_allclose(tip, denavit_hartenberg(q), atol=1e-12)


def test_masses_and_limits_are_those_of_the_data_sheet(arm):
    assert arm.robot.tree.masses.sum() == pytest.approx(3.761 + 8.058 + 2.846 + 1.37 + 1.3 + 0.365)
    np.testing.assert_array_equal(arm.u_max, [150.0, 150.0, 150.0, 28.0, 28.0, 28.0])
    np.testing.assert_allclose(arm.x_max[:6], np.pi * np.array([2, 2, 1, 2, 2, 2]))
    np.testing.assert_array_equal(arm.x_max[6:], np.full(6, 3.14))


def test_starts_and_goals_lie_anywhere_within_the_limits(arm, problems):
    for states in (problems.x0, problems.goal):
        assert (states > arm.x_min).all() and (states < arm.x_max).all()
        spread = np.ptp(states[:, :6], axis=0) / (arm.x_max - arm.x_min)[:6]
        assert (spread > 0.85).all()
    far = np.abs(problems.goal - problems.x0)[:, :6].max(axis=1)
    assert far.max() <= 2.0 and np.median(far) > 1.5  # what a plan of 1 s can do, and no less


def test_every_goal_is_held_by_its_trim(arm, problems):
    rates = arm.derivative(problems.goal, arm.trims(problems.goal))
    np.testing.assert_allclose(rates, 0.0, atol=1e-10)


def test_plans_reach_what_a_second_is_enough_for(arm, problems):
    controller = Controller.classical(arm)
    for i in range(5):
        plan = controller.plan(problems.x0[i], problems.goal[i])
        assert (np.abs(plan.states[-1] - problems.goal[i]) <= arm.goal_tolerance).all()
        assert plan.violation <= arm.constraint_tolerance
        beyond = (plan.states - problems.goal[i])[:, :6] * np.sign(problems.goal - problems.x0)[
            i, :6
        ]
        assert beyond.max() < 0.06  # it hardly overshoots


def test_the_drawing_leads_from_the_base_to_the_tip(arm):
    x = np.append(np.random.default_rng(1).uniform(-3.0, 3.0, 6), np.zeros(6))
    (line,) = sticks(arm.robot, x)
    ends = [np.zeros(3), denavit_hartenberg(x[:6])]
    np.testing.assert_allclose(line[[0, -1]], ends, atol=1e-12)
    lengths = np.linalg.norm(np.diff(line, axis=0), axis=1)
    np.testing.assert_allclose(
        lengths, [0.1625, 0.138, np.hypot(0.425, 0.131), 0.3922, 0.1263, 0.0997, 0.0996]
    )
    view = side_view_of(arm)
    np.testing.assert_allclose(view.outline(x)[0], seen(line))
    np.testing.assert_allclose(view.path(np.stack([x, x]))[1], seen(line[-1]), atol=1e-12)


def test_a_branched_robot_is_drawn_to_all_its_ends():
    from tests.problem.robots import BRANCHED
    from trc_core import System

    robot = System.from_urdf(BRANCHED, dt=0.02, horizon=10).robot
    lines = sticks(robot, np.zeros(2 * len(robot.joints)))
    assert len(lines) == len(set(range(len(robot.joints))) - set(robot.tree.parents)) > 1


def test_nobody_makes_the_arm_who_does_not_ask_for_it():
    question = 'import sys, trc_core; print("trc_core.systems.arm" in sys.modules)'
    answer = subprocess.run(
        [sys.executable, '-c', question], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == 'False'
