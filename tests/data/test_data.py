"""Datasets: what is written is read back, nothing is lost, and no wrong sample gets through."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trc_core.data import LQRDataset, TrajectoryDataset, backends, lqr_generator
from trc_core.data import recipe as recipes
from trc_core.data.backends import BACKENDS
from trc_core.data.lqr_generator import choose_system, generate, main
from trc_core.data.overview import draw
from trc_core.data.recipe import Recipe
from trc_core.data.shards import solve_shards
from trc_core.data.trajectories import (
    ARRAYS,
    REFERENCE_KEYS,
    find_dataset,
    load_arrays,
    save_arrays,
)
from trc_core.data.trajectory_dataset import assign
from trc_core.evaluation.reference import _on_every_core
from trc_core.numerics.cost import trajectory_cost
from trc_core.solvers import ilqr, lqr
from trc_core.solvers.experts import EXPERTS, suitable_expert
from trc_core.systems import SYSTEMS, get_system
from trc_core.systems.bicycle_circles import bicycle_circles

DOUBLE_INTEGRATOR = SYSTEMS['double_integrator']


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(recipes, 'SHARD', 5)


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    """Most of the time of a small dataset goes into its overview; one test has it drawn."""
    monkeypatch.setattr(lqr_generator, 'draw', lambda data, path: None)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """23 optima of the double integrator, by IPOPT."""
    return generate(Recipe(DOUBLE_INTEGRATOR, 'nlp', 23), tmp_path_factory.mktemp('data'), 1)


def assert_same(one, other):
    assert one.metadata == other.metadata
    for key in ARRAYS:
        np.testing.assert_array_equal(getattr(one, key), getattr(other, key))


def with_expert(monkeypatch, solve):
    monkeypatch.setitem(EXPERTS, 'ilqr', replace(EXPERTS['ilqr'], solve=solve))


def fitting_pairs():
    """Every expert with every system that it can handle (in the tests' time)."""
    linear = {'qp', 'minimum_energy'}
    slow = {('cartpole_swingup', 'nlp')}
    few = {name: ['double_integrator'] for name in linear} | {'search': [], 'ipddp': []}
    for expert in EXPERTS:
        for name in few.get(expert, sorted(SYSTEMS)):
            if (name, expert) not in slow:
                others = expert == 'multistart'
                yield pytest.param(name, expert, marks=[pytest.mark.long] * others)


@pytest.mark.parametrize(('name', 'expert'), fitting_pairs())
def test_what_was_generated_is_loaded(tmp_path, name, expert):
    system = SYSTEMS[name]
    made = generate(Recipe(system, expert, 7, seed=3), tmp_path, 1)
    loaded = load_arrays(tmp_path)
    assert_same(loaded, made)
    T, n_x, n_u = system.horizon, system.n_x, system.n_u
    assert made.controls.shape == (7, T, n_u) and made.states.shape == (7, T + 1, n_x)
    assert loaded.metadata['expert'] == expert and loaded.metadata['seed'] == 3
    assert loaded.system.contract() == json.loads(json.dumps(system.contract()))
    J = trajectory_cost(system, loaded.states, loaded.controls, loaded.target_state[:, None])
    np.testing.assert_allclose(loaded.cost, J, rtol=1e-12)


def test_the_folder_holds_the_dataset_and_a_picture_only(tmp_path, monkeypatch):
    monkeypatch.setattr(lqr_generator, 'draw', draw)
    generate(Recipe(DOUBLE_INTEGRATOR, 'ilqr', 6), tmp_path, 1)
    assert sorted(os.listdir(tmp_path)) == ['dataset.npz', 'overview.png']
    assert (tmp_path / 'overview.png').read_bytes().startswith(b'\x89PNG')


def test_the_default_labels_are_optimal():
    assert Recipe(DOUBLE_INTEGRATOR).expert == 'nlp'


def test_workers_and_interruptions_do_not_change_a_byte(tmp_path, monkeypatch):
    recipe = Recipe(DOUBLE_INTEGRATOR, 'ilqr', 23)
    generate(recipe, tmp_path / 'alone', workers=1)
    generate(recipe, tmp_path / 'together', workers=2)
    solved = []

    def interrupted(system, x0, goal):
        if len(solved) == 13:
            raise KeyboardInterrupt
        solved.append(x0)
        return ilqr.solve(system, x0, goal)

    with_expert(monkeypatch, interrupted)
    with pytest.raises(KeyboardInterrupt):
        generate(recipe, tmp_path / 'resumed', workers=1)
    assert not (tmp_path / 'resumed' / 'dataset.npz').exists()

    def counted(system, x0, goal):
        solved.append(x0)
        return ilqr.solve(system, x0, goal)

    solved.clear()
    with_expert(monkeypatch, counted)
    generate(recipe, tmp_path / 'resumed', workers=1)
    assert len(solved) == 23 - 10  # all but the two finished shards
    contents = [(tmp_path / d / 'dataset.npz').read_bytes() for d in os.listdir(tmp_path)]
    assert len(contents) == 3 and len(set(contents)) == 1


RANGED = replace(SYSTEMS['van_der_pol'], name='ranged', ranges={'mu': (0.5, 1.5)})


@pytest.fixture(scope='module')
def ranged(tmp_path_factory):
    """12 trajectories, each of a plant of its own."""
    folder = tmp_path_factory.mktemp('ranged')
    return folder, generate(Recipe(RANGED, 'search', 12), folder, 1)


def test_every_trajectory_is_one_of_its_own_parameters(ranged):
    folder, made = ranged
    loaded = load_arrays(folder, system=RANGED)
    mu = loaded.parameters[:, RANGED.places['mu']]
    np.testing.assert_array_equal(loaded.parameters, made.parameters)
    assert len(set(mu)) == 12 and mu.min() >= 0.5 and mu.max() <= 1.5
    for i in range(3):
        own = RANGED.with_parameters(mu=mu[i])
        x_next = own.step(loaded.states[i, 0], loaded.controls[i, 0])
        np.testing.assert_allclose(loaded.states[i, 1], x_next, atol=1e-11)
        plan = EXPERTS['nlp'].solve(own, loaded.current_state[i], loaded.target_state[i])
        assert loaded.cost[i] == pytest.approx(plan.cost, rel=1e-3)
    tensors = TrajectoryDataset(loaded)[2]
    assert tensors['parameters'].tolist() == pytest.approx(loaded.parameters[2].tolist())


def test_parameters_that_are_not_those_of_the_trajectory_are_found(ranged, tmp_path):
    made = ranged[1]
    for wrong, what in (
        (made.parameters + 0.2, "'states' do not follow the dynamics of 'ranged' in sample 0"),
        (made.parameters[:5], r"'parameters' has shape \(5, 1\), expected \(12, 1\)"),
        (spoiled(made.parameters, (4, 0), np.nan), "'parameters' is not finite in sample 4"),
    ):
        save_arrays(tmp_path / 'dataset.npz', replace(made, parameters=wrong))
        with pytest.raises(ValueError, match=what):
            load_arrays(tmp_path, system=RANGED)


@pytest.mark.long
def test_interruptions_keep_the_problems_of_a_constrained_system(tmp_path, monkeypatch):
    recipe = Recipe(bicycle_circles, 'search', 12)
    whole = generate(recipe, tmp_path / 'whole', workers=1)
    search, solved = EXPERTS['search'].solve, []

    def interrupted(*arguments, **named):
        if len(solved) == 8:
            raise KeyboardInterrupt
        solved.append(named)
        return search(*arguments, **named)

    monkeypatch.setitem(EXPERTS, 'search', replace(EXPERTS['search'], solve=interrupted))
    monkeypatch.setattr(
        'trc_core.data.recipe._takes_parameters', lambda name: True
    )  # of the stand-in
    with pytest.raises(KeyboardInterrupt):
        generate(recipe, tmp_path / 'resumed', workers=1)
    monkeypatch.setitem(EXPERTS, 'search', replace(EXPERTS['search'], solve=search))
    resumed = generate(recipe, tmp_path / 'resumed', workers=1)
    assert_same(resumed, whole)
    np.testing.assert_array_equal(resumed.parameters, whole.parameters)
    assert len(np.unique(whole.parameters, axis=0)) == 12


def test_experts_without_parameters_are_refused_where_problems_differ_in_them():
    with pytest.raises(ValueError, match="'qp' knows no constraints or ranges; choose from"):
        Recipe(RANGED, 'qp', 5)


def test_a_finished_dataset_is_not_made_again(tmp_path, monkeypatch):
    recipe = Recipe(DOUBLE_INTEGRATOR, 'ilqr', 6)
    made = generate(recipe, tmp_path, 1)
    with_expert(monkeypatch, None)
    assert_same(generate(recipe, tmp_path, 1), made)


def test_another_dataset_is_never_overwritten(tmp_path):
    generate(Recipe(DOUBLE_INTEGRATOR, 'ilqr', 6), tmp_path, 1)
    before = (tmp_path / 'dataset.npz').read_bytes()
    with pytest.raises(ValueError, match=r"another dataset \(it differs in \['seed'\]\)"):
        generate(Recipe(DOUBLE_INTEGRATOR, 'ilqr', 6, seed=1), tmp_path, 1)
    assert (tmp_path / 'dataset.npz').read_bytes() == before


def test_samples_of_other_equations_are_not_joined(tmp_path):
    digests = []
    for text in (ROBOT, ROBOT.replace('-sympy.sin', 'sympy.sin'), ROBOT + '# as it was'):
        (tmp_path / 'robot.py').write_text(text)
        digests.append(Recipe(get_system(str(tmp_path / 'robot.py')), 'ilqr', 6).digest())
    assert digests[0] != digests[1] and digests[0] == digests[2]


def test_samples_that_make_no_dataset_are_neither_saved_nor_lost(tmp_path, monkeypatch):
    def spoilt(recipe, folder):
        data = joined(recipe, folder)
        return replace(data, controls=spoiled(data.controls, (3, 2), 1.0))

    joined = lqr_generator.joined
    monkeypatch.setattr(lqr_generator, 'joined', spoilt)
    with pytest.raises(ValueError, match=r'make no dataset: .* in sample 3 .*delete that folder'):
        generate(Recipe(DOUBLE_INTEGRATOR, 'ilqr', 6), tmp_path, 1)
    (kept,) = tmp_path.iterdir()
    assert len(list(kept.iterdir())) == 2


def test_another_seed_gives_other_samples(tmp_path, data):
    other = generate(Recipe(DOUBLE_INTEGRATOR, 'nlp', 5, seed=1), tmp_path, 1)
    assert not np.isin(other.current_state, data.current_state).any()


def test_no_sample_is_drawn_twice(data):
    assert len(np.unique(data.current_state, axis=0)) == len(data)


def test_unsolved_states_are_redrawn_and_listed(tmp_path, monkeypatch):
    def picky(system, x0, goal):
        return replace(ilqr.solve(system, x0, goal), converged=bool(x0[0] < 0))

    with_expert(monkeypatch, picky)
    made = generate(Recipe(DOUBLE_INTEGRATOR, 'ilqr', 23), tmp_path, 1)
    rejected = made.metadata['rejected']
    assert len(made) == 23 and np.all(made.current_state[:, 0] < 0)
    assert rejected and all(sample['current_state'][0] >= 0 for sample in rejected)
    assert made.metadata['drawn'] == 23 + len(rejected)


def test_an_expert_that_fails_everywhere_is_an_error(tmp_path, monkeypatch):
    def hopeless(system, x0, goal):
        return replace(ilqr.solve(system, x0, goal), converged=False)

    with_expert(monkeypatch, hopeless)
    with pytest.raises(ValueError, match="'ilqr' solved only 0 of 51 states"):
        generate(Recipe(DOUBLE_INTEGRATOR, 'ilqr', 5), tmp_path, 1)


@pytest.mark.parametrize('form', ['folder', 'folder.npz', 'folder/dataset.npz'])
def test_a_dataset_is_found_by_file_and_by_folder(tmp_path, data, form):
    (tmp_path / 'folder').mkdir()
    save_arrays(tmp_path / 'folder' / 'dataset.npz', data)
    assert_same(load_arrays(tmp_path / form), data)


def test_a_missing_dataset_is_an_error_that_says_how_to_make_it(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'no dataset at .*trc generate --output .*nothing'
    ):
        load_arrays(tmp_path / 'nothing.npz')
    with pytest.raises(FileNotFoundError, match=r'`trc generate --system my.py --output data`'):
        find_dataset('data.npz', 'my.py')


def write(path, data, **changes):
    """Writes `data` with arrays replaced, or left out where the change is None."""
    arrays = {key: getattr(data, key) for key in ARRAYS}
    arrays['metadata'] = np.array(json.dumps(dict(data.metadata)))
    arrays.update(changes)
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def spoiled(array, index, value):
    array = array.copy()
    array[index] = value
    return array


WRONG = {
    'missing key': (lambda d: {'states': None}, r"lacks the keys \['states'\]"),
    'missing metadata': (lambda d: {'metadata': None}, r"lacks the keys \['metadata'\]"),
    'shape': (
        lambda d: {'controls': d.controls[:, :-1]},
        r"'controls' has shape \(23, 14, 1\), expected \(23, 15, 1\)",
    ),
    'number of samples': (
        lambda d: {'cost': d.cost[:-1]},
        r"'cost' has shape \(22,\), expected \(23,\)",
    ),
    'nan': (
        lambda d: {'states': spoiled(d.states, (4, 3, 0), np.nan)},
        "'states' is not finite in sample 4",
    ),
    'bounds': (
        lambda d: {'controls': spoiled(d.controls, (5, 0, 0), 4.1)},
        "'controls' leave the bounds in sample 5",
    ),
    'start': (
        lambda d: {'current_state': spoiled(d.current_state, (6, 1), 0.0)},
        "'states' do not start at current_state in sample 6",
    ),
    'control': (
        lambda d: {'controls': spoiled(d.controls, (7, 9), 1.0)},
        "'states' do not follow the dynamics of 'double_integrator' in sample 7",
    ),
    'state': (
        lambda d: {'states': spoiled(d.states, (8, 15, 1), 0.01)},
        "'states' do not follow the dynamics of 'double_integrator' in sample 8",
    ),
    'cost': (lambda d: {'cost': spoiled(d.cost, 9, 1e3)}, "'cost' is not J in sample 9"),
    'goal': (
        lambda d: {'target_state': spoiled(d.target_state, (10, 0), 1.9)},
        "'cost' is not J in sample 10",
    ),
    'unknown system': (  # of version 1, when datasets held no equations
        lambda d: {
            'metadata': np.array(
                json.dumps(
                    {**d.metadata, 'system': {**d.system.contract(), 'name': 'rocket'}},
                )
            )
        },
        "unknown system 'rocket'",
    ),
    'other timing': (
        lambda d: {
            'metadata': np.array(
                json.dumps({**d.metadata, 'system': {**d.metadata['system'], 'dt': 0.3}})
            )
        },
        "'states' do not follow the dynamics",
    ),
    'pickle': (lambda d: {'cost': np.array([{}], dtype=object)}, 'allow_pickle=False'),
    'text': (lambda d: {'metadata': np.array('{')}, 'Expecting'),
}


@pytest.mark.parametrize('what', list(WRONG))
def test_a_wrong_dataset_is_refused_in_one_line_that_names_the_fault(tmp_path, data, what):
    changes, message = WRONG[what]
    file = write(tmp_path / 'wrong.npz', data, **changes(data))
    with pytest.raises(ValueError, match=message) as error:
        load_arrays(file)
    assert str(error.value).startswith(f"'{file}' is not a usable dataset: ")
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('cut', [0, 10, 2000, -40])
def test_a_damaged_file_is_refused(tmp_path, data, cut):
    file = write(tmp_path / 'damaged.npz', data)
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(ValueError, match='is not a usable dataset'):
        load_arrays(file)


def test_a_flipped_byte_is_noticed(tmp_path, data):
    file = write(tmp_path / 'damaged.npz', data)
    contents = bytearray(file.read_bytes())
    contents[len(contents) // 2] ^= 1
    file.write_bytes(contents)
    with pytest.raises(ValueError, match='is not a usable dataset'):
        load_arrays(file)


def test_single_precision_is_precise_enough(tmp_path, data):
    changes = {key: getattr(data, key).astype(np.float32) for key in ARRAYS}
    assert len(load_arrays(write(tmp_path / 'single.npz', data, **changes))) == len(data)


def test_items_are_float_tensors_under_the_documented_keys(data):
    dataset = LQRDataset(data)
    assert isinstance(dataset, TrajectoryDataset) and isinstance(dataset, torch.utils.data.Dataset)
    assert len(dataset) == 23
    item = dataset[2]
    assert {key: tuple(value.shape) for key, value in item.items()} == {
        'current_state': (2,),
        'target_state': (2,),
        'controls': (15, 1),
        'states': (16, 2),
    }
    for key, value in item.items():
        assert value.dtype == torch.float32
        np.testing.assert_allclose(value.numpy(), getattr(data, key)[2], rtol=1e-6, atol=1e-6)
    (batch,) = torch.utils.data.DataLoader(dataset, batch_size=23)
    assert batch['controls'].shape == (23, 15, 1)


def test_the_splits_share_nothing_and_leave_nothing_out(data):
    splits = ('train', 'validation', 'test')
    parts = [LQRDataset(data, split, validation_share=0.3, test_share=0.2) for split in splits]
    assert sorted(np.concatenate([part.indices for part in parts])) == list(range(23))
    for part in parts:
        assert len(part) == len(part.indices) == len(list(part))
        first = part[0]['current_state'].numpy()
        np.testing.assert_allclose(first, data.current_state[part.indices[0]], rtol=1e-6)
        last = part[len(part) - 1]['states'].numpy()
        np.testing.assert_allclose(last, data.states[part.indices[-1]], rtol=1e-5, atol=1e-6)


def test_a_sample_keeps_its_side_in_another_order(data):
    order = np.random.default_rng(0).permutation(23)
    shuffled = replace(data, **{key: getattr(data, key)[order] for key in ARRAYS})
    splits = assign(data, 0.3, 0.3)
    assert set(splits) == {'train', 'validation', 'test'}
    np.testing.assert_array_equal(assign(shuffled, 0.3, 0.3), splits[order])


def test_a_larger_test_share_moves_nothing_between_the_others(data):
    small, large = assign(data, 0.3, 0.1), assign(data, 0.3, 0.5)
    np.testing.assert_array_equal(small == 'validation', large == 'validation')
    assert np.all(large[small == 'test'] == 'test')


def test_the_shares_are_kept(data):
    many = np.random.default_rng(0).normal(size=(5000, 2))
    large = replace(data, current_state=many, target_state=many)
    splits = assign(large, 0.1, 0.2)
    assert np.mean(splits == 'validation') == pytest.approx(0.1, abs=0.02)
    assert np.mean(splits == 'test') == pytest.approx(0.2, abs=0.02)
    with pytest.raises(ValueError, match=r'shares of 0.6 and 0.5 .* do not fit'):
        assign(large, 0.6, 0.5)


def test_an_unknown_or_empty_split_is_an_error(data):
    with pytest.raises(ValueError, match="unknown split 'exam'; choose from"):
        LQRDataset(data, 'exam')
    with pytest.raises(ValueError, match="split 'validation' of 23 samples is empty"):
        LQRDataset(data, 'validation', validation_share=0.0)


def test_dimensions_choose_the_number_of_axes():
    assert choose_system(None, 2, 1, 5.0, 15).contract() == DOUBLE_INTEGRATOR.contract()
    assert choose_system(None, 4, 2, None, None).name == 'double_integrator_2_axes'
    shorter = choose_system(SYSTEMS['van_der_pol'], None, None, None, 50)
    assert (shorter.dt, shorter.horizon) == (0.1, 50)


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (['--state_dim', '3'], '--state_dim 3 --control_dim 1 does not fit'),
        (['--system', 'van_der_pol', '--control_dim', '2'], "does not fit 'van_der_pol'"),
        (['--system', 'vdp'], "unknown system 'vdp'; choose from"),
        (['--num_samples', '0'], 'num_samples must be positive'),
        (['--time_horizon', '-1'], 'must be positive'),
        (['--control_dim', '0'], 'axes is 0'),
        (['--system', 'van_der_pol', '--set', 'nu=1'], r"has no parameter ['nu']"),
        (['--system', 'van_der_pol', '--set', 'mu'], "'mu' is not of the form name=number"),
        (['--expert', 'qp', '--starts', '3'], "the expert 'qp' has one start"),
        (['--expert', 'nlp', '--starts', '0'], 'starts is 0'),
        (['--system', 'pendulum', '--expert', 'qp'], "'pendulum' is not linear"),
    ],
)
def test_flags_that_do_not_fit_are_one_readable_line(tmp_path, capsys, flags, message):
    with pytest.raises(SystemExit, match='1'):
        main([*flags, '--output_dir', str(tmp_path / 'out')])
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count('\n') == 1
    assert not (tmp_path / 'out').exists()


def test_a_folder_that_cannot_be_written_is_one_readable_line(tmp_path, capsys):
    (tmp_path / 'file').touch()
    with pytest.raises(SystemExit, match='1'):
        main(['--output_dir', str(tmp_path / 'file' / 'out')])
    captured = capsys.readouterr()
    assert 'cannot write to' in captured.err and captured.err.count('\n') == 1


def test_the_command_line_generates_and_sums_up(tmp_path, capsys):
    command = '--num_samples 6 --state_dim 4 --control_dim 2 --expert ilqr --workers 1 --output'
    main([*command.split(), str(tmp_path / 'two_axes')])
    out = capsys.readouterr().out
    assert "6 trajectories of 'double_integrator_2_axes'" in out and 'success 100.0 %' in out
    assert load_arrays(tmp_path / 'two_axes').controls.shape == (6, 15, 2)


def test_an_interruption_ends_with_its_own_exit_code(tmp_path, capsys, monkeypatch):
    def interrupted(system, x0, goal):
        raise KeyboardInterrupt

    with_expert(monkeypatch, interrupted)
    arguments = ['--expert', 'ilqr', '--workers', '1', '--output_dir', str(tmp_path)]
    with pytest.raises(SystemExit, match='130'):
        main(arguments)
    assert 'the same command resumes' in capsys.readouterr().err


KILLED = """
import os, signal
from trc_core import System

def dynamics(x, u):
    if os.environ.get('FIRST_PROCESS') != str(os.getpid()):
        os.kill(os.getpid(), signal.SIGKILL)  # as a system does that is out of memory
    return [x[1], u[0]]

mortal = System(
    name='mortal', dynamics=dynamics, state_names=('p', 'v'), state_units=('m', 'm/s'),
    control_names=('a',), control_units=('m/s^2',), joints=(), dt=0.1, horizon=10,
    u_min=[-1.0], u_max=[1.0], Q=[1.0, 1.0], R=[0.1], x0_box=[1.0, 1.0], goal_box=[0.0, 0.0],
)
"""


def test_a_killed_worker_is_one_line_that_says_what_to_do(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv('FIRST_PROCESS', str(os.getpid()))
    file = tmp_path / 'mortal.py'
    file.write_text(KILLED)
    arguments = ['--system', str(file), '--num_samples', '4', '--output_dir', str(tmp_path / 'd')]
    with pytest.raises(SystemExit, match='1'):
        main([*arguments, '--expert', 'ilqr', '--workers', '2'])
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line)
    assert 'a worker process was killed' in line and 'fewer --workers goes on' in line
    recipe = Recipe(get_system(str(file)), 'ilqr', 4)  # killed among the shards, not before
    with pytest.raises(ChildProcessError, match='fewer --workers goes on'):
        solve_shards(recipe, tmp_path, 2, 'loky')


def test_a_worker_killed_among_the_optima_of_an_evaluation_is_one_line():
    rows = [(137,)] * 3
    with pytest.raises(ChildProcessError, match=r'was killed.* LOKY_MAX_CPU_COUNT=1') as killed:
        _on_every_core(DOUBLE_INTEGRATOR, os._exit, rows)
    assert '\n' not in str(killed.value)


def test_generating_and_loading_import_no_torch():
    code = "import sys, trc_core.data.lqr_generator; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0


def test_a_shard_left_damaged_by_a_power_cut_is_solved_again(tmp_path, monkeypatch):
    recipe = Recipe(DOUBLE_INTEGRATOR, 'ilqr', 23)
    whole = generate(recipe, tmp_path / 'whole', 1)
    kept = tmp_path / 'cut' / f'.shards-{recipe.digest()}'
    kept.mkdir(parents=True)
    solve_shards(recipe, kept, 1, 'loky')
    files = sorted(kept.iterdir())
    files[0].write_bytes(b'')
    files[1].write_bytes(files[1].read_bytes()[:-300])
    spoiled_bytes = bytearray(files[2].read_bytes())
    spoiled_bytes[len(spoiled_bytes) // 2] ^= 1
    files[2].write_bytes(spoiled_bytes)
    files[3].write_bytes(files[4].read_bytes())  # of another size
    solved = []

    def counted(system, x0, goal):
        solved.append(x0)
        return ilqr.solve(system, x0, goal)

    with_expert(monkeypatch, counted)
    assert_same(generate(recipe, tmp_path / 'cut', 1), whole)
    assert len(solved) == 4 * 5  # the four damaged shards
    assert (tmp_path / 'cut/dataset.npz').read_bytes() == (
        tmp_path / 'whole/dataset.npz'
    ).read_bytes()


@pytest.mark.long
def test_labels_of_several_starts_say_how_often_they_disagreed(tmp_path, capsys):
    command = '--system pendulum --expert multistart --starts 4 --num_samples 12 --workers 1'
    main([*command.split(), '--output', str(tmp_path)])
    out = capsys.readouterr().out
    assert '4 starts a state: they disagreed in ' in out
    metadata = load_arrays(tmp_path).metadata
    assert metadata['starts'] == 4
    assert 0 <= metadata['agreement']['unanimous'] < metadata['agreement']['share'] <= 1


@pytest.mark.parametrize(('name', 'expert'), [('pendulum', 'multistart'), ('cartpole', 'nlp')])
def test_auto_chooses_several_starts_where_they_pay_and_says_so(name, expert):
    chosen, reason = suitable_expert(SYSTEMS[name])
    assert chosen == expert and f"'{expert}', because 12 starts beat" in reason


def test_parameters_are_set_recorded_and_loaded(tmp_path):
    command = '--system van_der_pol --set mu=0.7 --expert ilqr --num_samples 3 --workers 1'
    main([*command.split(), '--output', str(tmp_path)])
    loaded = load_arrays(tmp_path)  # checks the dynamics, of this mu
    assert loaded.system.parameters['mu'] == 0.7
    assert loaded.metadata['system']['parameters'] == {'mu': 0.7}


ROBOT = """
import sympy
from trc_core.systems import System

GAIN = 2.0

def dynamics(x, u):
    return [x[1], -sympy.sin(x[0]) + GAIN * u[0]]

robot = System(
    name='robot', dynamics=dynamics, state_names=('angle', 'rate'), state_units=('rad', 'rad/s'),
    control_names=('torque',), control_units=('N m',), joints=(), dt=0.1, horizon=10,
    u_min=[-3.0], u_max=[3.0], Q=[10.0, 1.0], R=[0.1], x0_box=[1.0, 1.0], goal_box=[0.0, 0.0],
)
"""


@pytest.mark.long
def test_workers_can_solve_for_a_system_that_only_a_file_defines(tmp_path):
    robot = tmp_path / 'robot.py'
    robot.write_text(ROBOT)
    system = get_system(str(robot))
    for folder, workers in (('alone', 1), ('together', 2)):
        command = [sys.executable, '-m', 'trc_core', 'generate', '--system', str(robot)]
        flags = ['--expert', 'ilqr', '--num_samples', '11', '--workers', str(workers)]
        subprocess.run([*command, *flags, '--output', str(tmp_path / folder)], check=True)
    alone, together = (load_arrays(tmp_path / n, system=system) for n in ('alone', 'together'))
    assert_same(alone, together)
    assert_same(load_arrays(tmp_path / 'alone'), alone)  # the file holds the equations
    with pytest.raises(ValueError, match="made for the system 'robot', not for 'van_der_pol'"):
        load_arrays(tmp_path / 'alone', system=SYSTEMS['van_der_pol'])


@pytest.mark.parametrize(
    ('backend', 'package'), [('ray', 'ray'), ('dask', r'dask\[distributed\]')]
)
def test_a_missing_backend_is_one_line_that_names_the_package(
    tmp_path, capsys, monkeypatch, backend, package
):
    monkeypatch.setitem(sys.modules, BACKENDS[backend].module, None)
    with pytest.raises(SystemExit, match='1'):
        main(['--num_samples', '1', '--backend', backend, '--output', str(tmp_path / 'out')])
    error = capsys.readouterr().err
    assert re.search(rf"needs its library; install it with pip install '{package}'", error)
    assert error.count('\n') == 1 and not (tmp_path / 'out').exists()


def test_rounds_of_a_backend_that_does_not_stream_lose_nothing(monkeypatch):
    in_rounds = BACKENDS['loky']._replace(streams=False)
    monkeypatch.setitem(BACKENDS, 'loky', in_rounds)
    tasks = [(i, 1) for i in range(11)]
    assert sorted(backends.run(max, tasks, 'loky', 1)) == [1, 1, *range(2, 11)]


def as_reference(data, **changes):
    arrays = {theirs: getattr(data, ours) for ours, theirs in REFERENCE_KEYS.items()}
    arrays.update(costs=data.cost * 3.0, **changes)
    return {key: value for key, value in arrays.items() if value is not None}


def test_files_of_the_reference_implementation_are_read(tmp_path, data):
    file = tmp_path / 'reference.npz'
    np.savez(file, **as_reference(data))
    loaded = load_arrays(file, system=DOUBLE_INTEGRATOR)
    for key in ARRAYS:
        np.testing.assert_allclose(getattr(loaded, key), getattr(data, key), rtol=1e-12)
    assert len(LQRDataset(loaded)) == len(data)
    assert len(load_arrays(save_arrays(tmp_path / 'ours.npz', loaded))) == len(data)


@pytest.mark.parametrize(
    ('changes', 'system', 'message'),
    [
        ({}, None, r'it names no system; load it with load_arrays\(path, system=...\)'),
        (
            {'control_sequences': None},
            DOUBLE_INTEGRATOR,
            r"lacks the keys \['control_sequences'\]",
        ),
        (
            {},
            SYSTEMS['van_der_pol'],
            r"'controls' has shape \(23, 15, 1\), expected \(23, 100, 1\)",
        ),
        ({}, replace(DOUBLE_INTEGRATOR, dt=0.3), "'states' do not follow the dynamics"),
        ({}, replace(DOUBLE_INTEGRATOR, u_max=[0.5]), "'controls' leave the bounds"),
    ],
)
def test_reference_files_that_do_not_fit_are_refused(tmp_path, data, changes, system, message):
    file = tmp_path / 'reference.npz'
    np.savez(file, **as_reference(data, **changes))
    with pytest.raises(ValueError, match=message) as error:
        load_arrays(file, system=system)
    assert '\n' not in str(error.value)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(sorted(SYSTEMS)),
    seed=st.integers(0, 2**31),
    samples=st.integers(6, 14),
    stop=st.integers(2, 12),
)
def test_interrupted_and_resumed_is_uninterrupted_and_saved_is_loaded(
    tmp_path, name, seed, samples, stop
):
    recipe = Recipe(SYSTEMS[name], 'lqr', samples, seed)
    with TemporaryDirectory(dir=tmp_path) as one, TemporaryDirectory(dir=tmp_path) as two:
        whole = generate(recipe, one, 1)
        calls = []

        def interrupted(system, x0, goal):
            calls.append(x0)
            if len(calls) == stop:
                raise KeyboardInterrupt
            return lqr.solve(system, x0, goal)

        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(EXPERTS, 'lqr', replace(EXPERTS['lqr'], solve=interrupted))
            if stop <= samples:
                with pytest.raises(KeyboardInterrupt):
                    generate(recipe, two, 1)
        assert_same(generate(recipe, two, 1), whole)
        assert_same(load_arrays(two), whole)
        files = [Path(folder, 'dataset.npz').read_bytes() for folder in (one, two)]
        assert files[0] == files[1]
        system = recipe.system
        assert np.all(whole.controls >= system.u_min) and np.all(whole.controls <= system.u_max)
