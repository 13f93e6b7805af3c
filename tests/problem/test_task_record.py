"""Records of tasks: a file holds every word, and a word that differs is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.crane_flight import fly
from tests.laden_crane import LADEN
from tests.old_checkpoints import read_record, strip_equations, write_record
from trc_core import Controller, get_system
from trc_core.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from trc_core.problem.comparison import differing_word
from trc_core.problem.record import system_from_record, system_record
from trc_core.systems import SYSTEMS
from trc_core.systems.bicycle_circles import bicycle_circles, draw

ROOT = Path(__file__).parents[2]
STRANGER = """
import importlib.abc, json, sys

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition('.')[0] in ('sympy', 'casadi', 'torch', 'scipy'):
            raise ImportError(name)

sys.meta_path.insert(0, Blocker())
from tests.crane_flight import fly
print(json.dumps(fly(sys.argv[1])))
"""
FUZZ = """
import json, sys
from tests.damaged_checkpoints import outcomes

print(json.dumps(outcomes(*sys.argv[1:], 250)))
"""


def in_a_child(program, *arguments):
    """What a program prints, which has none of our modules yet."""
    child = subprocess.run(
        [sys.executable, '-c', program, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('crane')


@pytest.fixture(scope='module')
def crane(folder):
    """The laden crane, from its user's file."""
    return system_of(LADEN, folder / 'crane.py')


def system_of(text, path):
    path.write_text(text)
    return get_system(str(path))


@pytest.fixture(scope='module')
def own(crane, folder):
    """A checkpoint of it."""
    return save_checkpoint(folder / 'crane.safetensors', Checkpoint.classical(crane))


def stored(system):
    return json.loads(json.dumps(system_record(system)))


def test_every_word_comes_back(crane):
    for system in (crane, bicycle_circles):
        record = stored(system)
        again = system_from_record(record)
        assert stored(again) == record and again.digest == system.digest
        assert again.contract() == system.contract()
        assert differing_word(again, system) is None
        assert again.obstacles == system.obstacles and again.angles == system.angles
        changed = {name: 1.1 * value for name, value in system.parameters.items()}
        ours, theirs = system.with_parameters(**changed), again.with_parameters(**changed)
        goals = np.random.default_rng(0).normal(size=(5, system.n_x))
        np.testing.assert_array_equal(ours.trims(goals), theirs.trims(goals))
        assert stored(ours) == stored(theirs)


def test_a_recorded_problem_has_the_same_plans():
    x, goal, parameters = draw(np.random.default_rng(3))
    again = system_from_record(stored(bicycle_circles))
    ours, theirs = (
        Controller.classical(system).plan(x, goal, parameters=parameters)
        for system in (bicycle_circles, again)
    )
    np.testing.assert_array_equal(ours.controls, theirs.controls)
    assert ours.merit == theirs.merit and ours.candidates == theirs.candidates


def test_a_stranger_flies_among_obstacles_with_the_file_alone(own):
    here, there = fly(own), in_a_child(STRANGER, own)
    assert there['cost'] == pytest.approx(here['cost'], rel=1e-12)
    np.testing.assert_allclose(there['flown'], here['flown'], rtol=1e-9, atol=1e-12)
    x, angle = np.array(here['flown'])[:, :2].T
    depth = 0.22 - np.hypot(x + 0.8 * np.sin(angle) - 0.5, -0.8 * np.cos(angle) + 1.0)
    assert depth.max() < 5e-3
    assert not {'sympy', 'casadi', 'torch', 'crane'} & set(there['imported'])


OTHER = {
    'constraints': ('pole_r - hypot', '1.01 * pole_r - hypot'),
    'residuals': ('0.1 * u[0]', '0.2 * u[0]'),
    'terminal_residuals': ("'height': 0.2", "'height': 0.3"),
    'laws': ("laws={'stop'", "laws={'halt'"),
    'u_trim': ('u_trim=hold', "u_trim='equilibrium'"),
    'x_min and x_max': ('x_max=[None, 1.2', 'x_max=[None, None'),
    'equations': ('0.1 * v', '0.2 * v'),
}


@pytest.mark.parametrize('word', OTHER)
def test_a_file_with_another_word_is_refused_in_one_line(word, own, tmp_path):
    other = system_of(LADEN.replace(*OTHER[word]), tmp_path / 'crane.py')
    message = f"made with other {word} than those of 'my_crane' here$"
    with pytest.raises(ValueError, match=message) as refused:
        load_checkpoint(own, other)
    assert '\n' not in str(refused.value)


def test_numbers_notation_and_order_may_differ(own, crane, tmp_path, caplog):
    text = (
        LADEN.replace("'pole_r': 0.22", "'pole_r': 0.3")
        .replace('x_max=[None, 1.2', 'x_max=[None, 1.0')
        .replace("{'m': 0.7, 'M': 2.0,", "{'M': 2.0, 'm': 0.7,")
        .replace('from numpy import cos, hypot, sin', 'from casadi import cos, hypot, sin')
    )
    other = system_of(text, tmp_path / 'crane.py')
    assert load_checkpoint(own, other).system.contract() == crane.contract()  # the file's
    (notice,) = caplog.messages
    assert notice == "'my_crane' here has other parameters and x_max; those of the file count"


def test_a_file_from_before_the_words_is_refused_where_they_are_stated(own, crane, tmp_path):
    path = tmp_path / 'crane.safetensors'
    path.write_bytes(own.read_bytes())
    strip_equations(path)
    with pytest.raises(
        ValueError, match="made without the constraints that 'my_crane' states here"
    ):
        load_checkpoint(path, crane)


BROKEN = {
    'no names': (('constraints', 'names'), None, "constraints: expected 'names' and 'graph'"),
    'a name too many': (('constraints', 'names'), ['pole', 'wall'], 'constraints: gives'),
    'numbers as names': (('residuals', 'names'), [1], r'residuals: names are \[1\], expected'),
    'another size': (('laws', 'stop', 'graph', 'inputs', 'x'), 5, "law 'stop': takes"),
    'an operation': (
        ('constraints', 'graph', 'instructions', 3),
        ['exec', 0],
        "constraints: graph instruction 3 has the unknown operation 'exec'",
    ),
    'laws as a list': (('laws',), [], 'laws are'),
    'a trim of everything': (('trim',), 'everything', "u_trim: expected 'names' and 'graph'"),
    'an unknown angle': (('angles',), ['heading'], r"angles hold \['heading'\]"),
    'a range of one': (('ranges',), {'m': [1.0]}, "ranges of 'm' has shape"),
    'a limit that is a text': (('x_max',), ['a', 1, 1, 1], 'x_max is'),
    'no tolerance': (('goal_tolerance',), [0.0] * 4, 'write numbers above 0'),
    'an obstacle of nothing': (('obstacles',), [['a', 'b', 'c']], r"obstacles hold \['a', 'b'"),
    'a centre of three': (('x0_centre',), [0.0] * 3, 'x0_centre has shape'),
}


@pytest.mark.parametrize(('place', 'value', 'message'), BROKEN.values(), ids=BROKEN)
def test_a_broken_word_is_refused_in_one_line(place, value, message, own, tmp_path):
    path, record = tmp_path / 'crane.safetensors', read_record(own)
    path.write_bytes(own.read_bytes())
    owner = record['system']
    for key in place[:-1]:
        owner = owner[key]
    if value is None:
        del owner[place[-1]]
    else:
        owner[place[-1]] = value
    write_record(path, record)
    with pytest.raises(ValueError, match=message) as refused:
        load_checkpoint(path)
    assert str(refused.value).startswith(f"'{path}' is not a usable trc checkpoint: ")
    assert '\n' not in str(refused.value)


def test_damaged_words_end_in_refusals_or_the_same_plan(own, tmp_path):
    count = in_a_child(FUZZ, own, tmp_path / 'damaged.safetensors')
    ends = {kind.partition(': ')[2] for kind in count}
    assert ends <= {'refused', 'equal', 'another plan', 'infinite cost'}, count
    assert count['record: refused'] > 10 and count['record: equal'] > 2
    assert sum(count.values()) == 250


def test_systems_without_such_words_are_recorded_as_before():
    for system in SYSTEMS.values():
        assert system.digest == system.graph.digest
        assert not {'constraints', 'residuals', 'laws', 'trim', 'x_min'} & set(stored(system))
