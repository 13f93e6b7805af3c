"""Datasets of trajectories whose duration is free: found by the expert, kept, and checked."""

from dataclasses import replace

import numpy as np
import pytest

from trc_core import System, get_system
from trc_core.data import TrajectoryDataset, lqr_generator
from trc_core.data import recipe as recipes
from trc_core.data.lqr_generator import choose_system, generate, main
from trc_core.data.overview import summary
from trc_core.data.recipe import Recipe
from trc_core.data.trajectories import load_arrays, save_arrays
from trc_core.solvers import free_time
from trc_core.solvers.experts import EXPERTS
from trc_core.systems.registry import why_impossible

ROCKET = get_system('rocket_landing')
WORDS = {
    'state_names': ('place', 'speed'),
    'state_units': ('m', 'm/s'),
    'control_names': ('force',),
    'control_units': ('N',),
    'joints': (),
    'dt': 0.05,
    'horizon': 40,
    'u_min': [-1.0],
    'u_max': [1.0],
    'Q': [0.0, 0.0],
    'R': [0.0],
    'x0_box': [2.0, 1.0],
    'goal_box': [0.0, 0.0],
    'goal_tolerance': [1e-3, 1e-3],
    'final_time': (0.1, 20.0),
    'time_weight': 1.0,
    'terminal': ('place', 'speed'),
}


def quick():
    """A point that stops in the least time."""
    return System(name='quick', dynamics=lambda x, u: [x[1], u[0]], **WORDS)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(recipes, 'SHARD', 6)
    monkeypatch.setattr(lqr_generator, 'draw', lambda data, path: None)


@pytest.fixture(scope='module')
def landed(tmp_path_factory):
    """12 landings, by sweeps; the folder and the data."""
    folder = tmp_path_factory.mktemp('landed')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, 'SHARD', 6)
        patch.setattr(lqr_generator, 'draw', lambda data, path: None)
        return folder, generate(Recipe(ROCKET, 'ipddp', 12, seed=3), folder, 1)


def least_time(x0):
    """The time in which one force, then the other, stops a point: bang-bang."""
    place, speed = x0
    if place + 0.5 * speed * abs(speed) < 0.0:
        place, speed = -place, -speed
    return speed + 2.0 * np.sqrt(0.5 * speed**2 + place)


@pytest.mark.long
@pytest.mark.parametrize('expert', ['ipddp', 'nlp'])
def test_durations_of_least_time_are_those_of_bang_bang_control(tmp_path, expert):
    data = generate(Recipe(quick(), expert, 10), tmp_path, 1)
    least = np.array([least_time(x) for x in data.current_state])
    assert (data.duration >= least * (1 - 1e-6)).all()
    assert (data.duration <= least * 1.001).all()
    np.testing.assert_allclose(data.cost, data.duration)
    again = load_arrays(tmp_path, system=quick())
    np.testing.assert_array_equal(again.duration, data.duration)


def test_a_landing_flies_its_duration_and_lands(landed):
    data = landed[1]
    assert len(set(data.duration)) == 12
    for i in range(3):
        x, seconds = data.current_state[i], data.duration[i] / ROCKET.horizon
        for u in data.controls[i]:
            x = ROCKET.step(x, u, seconds)
        assert np.abs(x[:6]).max() < 1e-3
        assert data.cost[i] == pytest.approx(-x[6])
    tensors = TrajectoryDataset(data)[2]
    assert tensors['duration'].item() == pytest.approx(data.duration[2], rel=1e-6)


def test_draws_with_a_certificate_are_counted_and_kept_apart(landed):
    data = landed[1]
    hopeless = data.metadata['hopeless']
    assert hopeless
    assert all(why_impossible(ROCKET, np.array(x0), {}) for x0 in hopeless)
    assert not any(why_impossible(ROCKET, x0, {}) for x0 in data.current_state)
    assert data.metadata['drawn'] == 12 + len(hopeless) + len(data.metadata['rejected'])
    said = summary(data)
    assert f'left out, as a proof says that no plan exists: {len(hopeless)}' in said
    assert f'durations {data.duration.min():.4g} to {data.duration.max():.4g} s' in said


def test_an_interruption_changes_nothing(landed, tmp_path, monkeypatch):
    solved = []

    def interrupted(*arguments, **named):
        if len(solved) == 9:
            raise KeyboardInterrupt
        solved.append(named)
        return free_time.solve(*arguments, **named)

    monkeypatch.setattr('trc_core.data.recipe._takes_parameters', lambda name: True)
    monkeypatch.setitem(EXPERTS, 'ipddp', replace(EXPERTS['ipddp'], solve=interrupted))
    recipe = Recipe(ROCKET, 'ipddp', 12, seed=3)
    with pytest.raises(KeyboardInterrupt):
        generate(recipe, tmp_path, 1)
    monkeypatch.setitem(EXPERTS, 'ipddp', replace(EXPERTS['ipddp'], solve=free_time.solve))
    resumed = generate(recipe, tmp_path, 1)
    for key in resumed.keys:
        np.testing.assert_array_equal(getattr(resumed, key), getattr(landed[1], key))
    assert resumed.metadata == landed[1].metadata


@pytest.mark.long
def test_two_processes_make_the_same_bytes(landed, tmp_path):
    both = generate(Recipe(ROCKET, 'ipddp', 12, seed=3), tmp_path, 2)
    for key in both.keys:
        np.testing.assert_array_equal(getattr(both, key), getattr(landed[1], key))


def changed(values, factor):
    values = values.copy()
    values[4] *= factor
    return values


@pytest.mark.parametrize(
    ('key', 'change', 'message'),
    [
        ('duration', lambda d: changed(d, 1.01), 'do not follow the dynamics .* in sample 4'),
        ('duration', lambda d: changed(d, 0.0), "'duration' leaves final_time in sample 4"),
        ('duration', lambda d: changed(d, np.nan), "'duration' is not finite in sample 4"),
        ('duration', lambda d: d[:5], r"'duration' has the shape \(5,\), expected \(12,\)"),
        ('duration', lambda d: None, "'duration' has no array"),
        ('cost', lambda J: changed(J, 1.01), "'cost' is not J in sample 4"),
        ('controls', lambda u: changed(u, 0.1), 'limits of their length in sample 4'),
    ],
)
def test_what_is_wrong_with_a_duration_is_said(landed, tmp_path, key, change, message):
    wrong = replace(landed[1], **{key: change(getattr(landed[1], key))})
    save_arrays(tmp_path / 'dataset.npz', wrong)
    with pytest.raises(ValueError, match=message):
        load_arrays(tmp_path)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"'ilqr' plans a fixed duration.*\['nlp', 'ipddp'\]"):
        Recipe(quick(), 'ilqr', 5)
    with pytest.raises(ValueError, match='--time_horizon goes with a fixed duration'):
        choose_system(ROCKET, None, None, 5.0, None)
    assert choose_system(ROCKET, None, None, None, 25).horizon == 25


@pytest.mark.long
def test_stages_that_cannot_use_it_say_so(landed, tmp_path, capsys):
    from trc_core.commands.train import main as train

    flags = ['--stage', 'imitation', '--data_dir', str(landed[0])]
    with pytest.raises(SystemExit):
        train([*flags, '--output_dir', str(tmp_path / 'run')])
    assert '--stage descent trains landers' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(['--system', 'van_der_pol', '--expert', 'ipddp', '--output', str(tmp_path / 'x')])
    assert 'has a fixed duration' in capsys.readouterr().err
