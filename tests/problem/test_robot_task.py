"""The task of a robot from a file: one table of words for commands, trainings and nodes."""

import argparse
import inspect
from dataclasses import fields

import numpy as np
import pytest

from tests.problem.robots import TWO_LINKS
from trc_core import get_system
from trc_core.commands import systems as listing
from trc_core.commands import train, warm_up
from trc_core.problem.robot_words import words_of_robot
from trc_core.systems.flags import add_system, system_of
from trc_core.systems.registry import ROBOT_TASK
from trc_core.systems.robot_task import RobotTask, descriptions
from trc_core.training.config import PlantConfig, parse

NOT_GIVEN = {'tip': '', 'payload': -1.0, 'armature': 0.0, 'joints': (), 'locked': ()}
"""Defaults with which a word is left to the robot's file."""


@pytest.fixture
def robot(tmp_path):
    path = tmp_path / 'two_links.urdf'
    path.write_text(TWO_LINKS)
    return str(path)


def flags(*texts):
    parser = argparse.ArgumentParser()
    add_system(parser)
    return parser.parse_args(texts)


def test_the_defaults_are_those_of_the_robot():
    stated = inspect.signature(words_of_robot).parameters
    defaults = {name: p.default for name, p in stated.items()} | ROBOT_TASK | NOT_GIVEN
    assert {f.name: f.default for f in fields(RobotTask)} == {
        f.name: defaults[f.name] for f in fields(RobotTask)
    }
    assert RobotTask().words == {}
    assert list(descriptions()) == [f.name for f in fields(RobotTask)]


def test_flags_say_what_the_robot_is_for(robot):
    system = system_of(
        flags(
            *('--system', robot, '--task.dt', '0.05', '--task.horizon', '20'),
            *('--task.payload', '0.5', '--task.position_weight', '3'),
            *('--task.armature', '0.2', '--task.locked', '[joint_2=0.3]'),
        )
    )
    assert (system.dt, system.horizon, system.n_u) == (0.05, 20, 1)
    assert system.parameters == {'payload': 0.5}
    assert system.Q[0, 0] == 3.0
    # the inertia about the joint: two links, the second turned by 0.3 rad, payload and rotor
    c, s = np.cos(0.3), np.sin(0.3)
    centre = np.array([0.4 + 0.15 * c + 0.01 * s, -0.15 * s + 0.01 * c])
    inertia = 0.03 + 2.0 * 0.2**2 + 0.01 + 1.0 * centre @ centre + 0.5 * 0.4**2 + 0.2
    unmoved, pushed = (system.derivative(np.zeros(2), np.array([u]))[1] for u in (0.0, 1.0))
    assert 1.0 / (pushed - unmoved) == pytest.approx(inertia, rel=1e-9)


def test_a_training_takes_the_same_words(robot):
    argv = ['--system', robot, '--task.dt=0.05', '--task.joints=[joint_1]']
    config = parse(PlantConfig, 'trc train', argv)
    assert config.task == RobotTask(dt=0.05, joints=('joint_1',))
    assert config.build_system().n_u == 1
    choice = train.choose(robot, 'cost', None, config.task)
    assert choice.system == robot


def test_a_config_file_says_it_as_well(robot, tmp_path):
    file = tmp_path / 'config.yaml'
    file.write_text(f'system: {robot}\ntask: {{dt: 0.1, horizon: 12}}\n')
    assert train._configured(file) == (robot, {'dt': 0.1, 'horizon': 12})
    config = parse(PlantConfig, 'trc train', ['--config', str(file)])
    assert (config.build_system().dt, config.build_system().horizon) == (0.1, 12)


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ({'dt': 'fast'}, "task.dt is 'fast'; write a number like 0.02"),
        ({'horizon': 2.5}, 'task.horizon is 2.5; write a number like 50'),
        ({'joints': 'elbow'}, r"task.joints is 'elbow'; write a list like \['elbow'\]"),
        ({'payload': -2}, 'task.payload is -2; write a mass in kg, or -1 for none'),
        ({'locked': ['elbow']}, "'elbow' is not of the form name=number"),
    ],
)
def test_a_wrong_word_is_one_line(words, message):
    with pytest.raises(ValueError, match=message):
        _ = RobotTask(**words).words


def test_a_task_goes_with_a_robot_only(robot, capsys):
    with pytest.raises(ValueError, match=r"'pendulum' is no robot file, and takes no \['dt'\]"):
        system_of(flags('--system', 'pendulum', '--task.dt', '0.1'))
    with pytest.raises(ValueError, match=r'--task.dt goes with --system'):
        system_of(flags('--task.dt', '0.1'))
    for command, argv in ((listing, ['pendulum']), (warm_up, ['pendulum'])):
        with pytest.raises(SystemExit):
            command.main([*argv, '--task.dt', '0.1'])
        assert 'task.dt goes with a robot' in capsys.readouterr().err


def test_a_robot_is_listed_with_its_joints(robot, capsys):
    listing.main([robot, '--task.horizon', '10'])
    listed = capsys.readouterr().out
    holds = get_system(robot).u_trim[0]
    assert f'joint_1  revolute  rad   -3    3   3      50      {holds:.4g}' in listed
    assert 'operations' in listed and 'tip: moved by joint_2' in listed


def test_a_joint_that_is_too_light_for_its_effort_is_named_in_the_list(robot, capsys):
    task = [robot, '--task.dt', '0.1', '--task.horizon', '10']
    listing.main(task)
    assert "full effort brings 'joint_2' to its speed limit in" in capsys.readouterr().out
    listing.main([*task, '--task.armature', '0.5'])
    assert 'full effort' not in capsys.readouterr().out
