"""Checkpoints: what is saved comes back; what is damaged is refused in one line."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.crane_flight import CRANE, START, fly
from tests.old_checkpoints import read_record, strip_equations, write_record
from tests.random_models import ARCHITECTURES, randomised
from trc_core import Controller, get_system
from trc_core.checkpoint import (
    RECORD,
    find_checkpoint,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
    shipped_checkpoints,
)
from trc_core.models import TinyRecursiveControl
from trc_core.models.persistence import save_model
from trc_core.models.plan_representation import gated, stabilised

BLOCKED = ('sympy', 'casadi', 'torch', 'scipy', 'matplotlib', 'control')
STRANGER = f"""
import importlib.abc, json, sys

class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition('.')[0] in {BLOCKED}:
            raise ImportError(name)

sys.meta_path.insert(0, Blocker())
from tests.crane_flight import fly
print(json.dumps(fly(sys.argv[1])))
"""


FUZZ = """
import json, sys
from tests.damaged_checkpoints import outcomes

print(json.dumps(outcomes(*sys.argv[1:3], int(sys.argv[3]))))
"""
CASES = int(os.environ.get('TRC_FUZZ_CASES', '450'))
ROOT = Path(__file__).parents[1]


@pytest.fixture(params=shipped_checkpoints())
def shipped(request):
    return load_checkpoint(request.param)


def test_saving_and_loading_changes_nothing(shipped, tmp_path):
    again = load_checkpoint(save_checkpoint(tmp_path / 'a' / 'c.safetensors', shipped))
    assert again.tensors.keys() == shipped.tensors.keys()
    for name, tensor in shipped.tensors.items():
        assert again.tensors[name].dtype == tensor.dtype
        np.testing.assert_array_equal(again.tensors[name], tensor)
    assert again.system.contract() == shipped.system.contract()
    assert (again.model, again.training, again.metrics) == (
        shipped.model,
        shipped.training,
        shipped.metrics,
    )
    assert [path.name for path in (tmp_path / 'a').iterdir()] == ['c.safetensors']


def test_shipped_checkpoints_say_how_they_were_made(shipped):
    makers = ('trc finetune', 'python -m trc_core.finetuning.finetuner')
    command = shipped.training['command']
    assert command.startswith(makers if shipped.correction else 'trc train')
    assert shipped.training['seed'] == shipped.training['config']['seed']
    assert shipped.training['cpu_seconds'] > 0
    assert re.fullmatch('[0-9a-f]{7,40}', shipped.training['commit'])  # no uncommitted change


def test_shipped_checkpoints_carry_their_certificate(shipped):
    certificates = {k: v for k, v in shipped.metrics.items() if k.startswith('certificate')}
    assert certificates
    cycles = shipped.model['H_cycles']
    for certificate in certificates.values():
        assert certificate['command'].startswith('trc evaluate --checkpoint')
        scores = certificate['scores']
        if shipped.system.final_time is not None:  # among plans that arrive or do not
            ours, cold = (
                scores[f'{start} + 5 sweeps'] for start in (f'trc, K = {cycles}', 'cold guess')
            )
            assert ours['arrived'] >= max(0.93, cold['arrived'] + 0.2) and ours['ratio'] <= 1.01
            assert scores[f'trc, K = {cycles} + 12 sweeps']['arrived'] >= 0.97
            continue
        if shipped.only_proposes:  # among plans that lead to other places
            ours, without = scores[f'trc, K = {cycles}'], scores['classical controller']
            assert ours['median'] <= 1.0005 and ours['wrong'] <= 0.06
            assert ours['merit_wrong'] <= 0.03 and without['merit_wrong'] > 0.1
            assert ours['colliding'] <= 0.04 and ours['deep'] <= 0.01
            continue
        assert {'clipped LQR', 'iLQR, 12 starts'} <= set(scores)
        if shipped.system.task.constraints:  # where the cheap plans are those that break them
            assert scores[f'trc, K = {cycles}']['merit'] <= 1.002
            continue
        assert 'nearest plan + iLQR' in scores
        assert scores[f'trc, K = {cycles}']['median'] <= min(
            1.0005, scores['clipped LQR']['median']
        )
        assert scores[f'trc, K = {cycles} + 5 sweeps']['wrong'] <= 0.1


def test_tuned_checkpoints_carry_what_tuning_was_worth(shipped):
    if not shipped.correction:
        return
    test = shipped.metrics['finetuning']
    assert test['flights'] >= 200
    assert test['improvement_interval'][0] >= 0.1
    tuned, untuned = (test['nominal'][name] for name in ('trc, tuned', 'trc, un-tuned'))
    assert tuned <= 1.02 * untuned


def test_other_parameters_travel_with_the_checkpoint(tmp_path):
    shipped = load_checkpoint('van_der_pol')
    other = replace(shipped, system=shipped.system.with_parameters(mu=0.7))
    path = save_checkpoint(tmp_path / 'c.safetensors', other)
    assert Controller.load(path).system.parameters['mu'] == 0.7


def test_a_missing_checkpoint_lists_the_shipped_ones():
    with pytest.raises(FileNotFoundError, match=r"'nope'.*double_integrator.*van_der_pol"):
        load_checkpoint('nope')


@pytest.mark.parametrize('content', [b'', b'not a checkpoint', b'\x00' * 4096])
def test_a_corrupt_file_is_refused(content, tmp_path):
    path = tmp_path / 'bad.safetensors'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad.safetensors' is not a usable trc checkpoint"):
        load_checkpoint(path)


def test_a_truncated_file_is_refused(shipped, tmp_path):
    path = save_checkpoint(tmp_path / 'c.safetensors', shipped)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match='is not a usable trc checkpoint'):
        load_checkpoint(path)


def test_somebody_elses_safetensors_file_is_refused(tmp_path):
    path = tmp_path / 'c.safetensors'
    save_file({'w': np.zeros(3)}, path)
    with pytest.raises(ValueError, match='is not a usable trc checkpoint'):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('name', 'rocket', "unknown system 'rocket'"),
        ('state_names', ['velocity', 'position'], 'state_names'),
        ('parameters', {'mu': 1.0, 'nu': 2.0}, 'nu'),
    ],
)
def test_another_contract_is_refused_naming_both_sides(key, value, message, tmp_path):
    shipped = load_checkpoint('van_der_pol')
    contract = {**shipped.system.contract(), key: value}
    record = {
        'format': 2,
        'system': contract,
        'model': dict(shipped.model),
        'coordinates': shipped.coordinates.record(),
        'training': {},
        'metrics': {},
    }
    path = tmp_path / 'c.safetensors'
    save_file(dict(shipped.tensors), path, metadata={RECORD: json.dumps(record)})
    with pytest.raises(ValueError, match=message):
        load_checkpoint(path)


@pytest.mark.parametrize('broken', ['{"format": 2}', '{"format": 1}', '[]'])
def test_a_broken_record_is_refused(broken, tmp_path):
    path = tmp_path / 'c.safetensors'
    save_file({'w': np.zeros(3)}, path, metadata={RECORD: broken})
    for read in (read_checkpoint, load_checkpoint):
        with pytest.raises(ValueError, match=r"c.safetensors' is not a usable trc checkpoint"):
            read(path)


def test_a_checkpoint_is_not_written_over_a_graph(shipped, tmp_path):
    path = tmp_path / 'c.onnx'
    path.write_bytes(b'weights')
    with pytest.raises(ValueError, match=r"c\.onnx': it is a graph"):
        save_checkpoint(path, shipped)
    with pytest.raises(ValueError, match=r"c\.onnx': it is a graph"):
        save_checkpoint(tmp_path / 'd.safetensors', replace(shipped, graph=path))
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b'weights']


def test_an_unwritable_folder_leaves_nothing_behind(shipped, tmp_path):
    blocked = tmp_path / 'file'
    blocked.write_text('in the way')
    with pytest.raises(OSError, match='file'):
        save_checkpoint(blocked / 'c.safetensors', shipped)
    assert blocked.read_text() == 'in the way'


@pytest.fixture(scope='module')
def own(tmp_path_factory):
    """A checkpoint of a plant that only its file defines: crane.safetensors beside crane.py."""
    folder = tmp_path_factory.mktemp('own')
    (folder / 'crane.py').write_text(CRANE)
    system = get_system(str(folder / 'crane.py'))
    sizes = {'latent_dim': 16, 'hidden_dim': 16, 'num_heads': 0, 'use_two_level': True}
    model = TinyRecursiveControl.for_system(
        system, stabilised(system), feedback=('gradient',), **sizes
    )
    return save_model(folder / 'crane.safetensors', randomised(model), system)


def in_a_child(code, *arguments):
    command = [sys.executable, '-c', code, *map(str, arguments)]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_a_stranger_flies_it_without_the_plants_file_and_without_any_extra(own, tmp_path):
    path = tmp_path / 'crane.safetensors'
    path.write_bytes(own.read_bytes())  # the plant's file stays behind
    here, there = fly(path), in_a_child(STRANGER, path)
    assert there['cost'] == pytest.approx(here['cost'], rel=1e-12)
    np.testing.assert_allclose(there['flown'], here['flown'], rtol=1e-9, atol=1e-12)
    assert abs(np.array(here['flown'])[:, 4]).max() > 0.1 and here['flown'][-1][0] < START[0]
    assert not {*BLOCKED, 'crane'} & set(there['imported'])


def test_the_equations_are_the_files_own_or_the_given_ones(own, tmp_path):
    system = get_system(str(own.with_name('crane.py')))
    assert load_checkpoint(own).system.graph.digest == system.graph.digest
    assert load_checkpoint(own, system).system.contract() == system.contract()
    other = tmp_path / 'crane.py'
    other.write_text(CRANE.replace('0.1 * v', '0.2 * v'))
    with pytest.raises(ValueError, match=r"crane.safetensors' .* other equations .* 'my_crane'"):
        load_checkpoint(own, get_system(str(other)))


OTHERS = {
    'equations': ('0.1 * v', '0.2 * v', "made with other equations than those of 'my_crane' here"),
    'dt': ('dt=0.05', 'dt=0.04', "dt is 0.05 in the file but 0.04 in 'my_crane' here"),
    'horizon': ('horizon=40', 'horizon=50', "horizon is 40 in the file but 50 in 'my_crane' here"),
    'substeps': (
        'dt=0.05',
        'substeps=2, dt=0.05',
        "substeps is 1 in the file but 2 in 'my_crane' here",
    ),
}


@pytest.mark.parametrize('word', OTHERS)
def test_a_plant_that_moves_otherwise_is_refused_or_flown_with_a_warning(
    word, own, tmp_path, caplog
):
    before, after, message = OTHERS[word]
    (tmp_path / 'crane.py').write_text(CRANE.replace(before, after))
    other = get_system(str(tmp_path / 'crane.py'))
    with pytest.raises(ValueError, match=f"crane.safetensors' .*{message}"):
        Controller.load(own, system=other)
    if word == 'horizon':  # the network has no outputs for those steps
        with pytest.raises(
            ValueError, match=r"control_horizon of the model is 40, 'my_crane' nee"
        ):
            Controller.load(own, system=other, force=True)
        return
    assert not caplog.messages
    plan = Controller.load(own, system=other, force=True).plan(START, np.zeros(4))
    (warning,) = caplog.messages
    assert f"'my_crane' flies with other {word} than the network was trained for" in warning
    predicted = [plan.states[0]]
    for u in plan.controls:
        predicted.append(other.step(predicted[-1], u))
    np.testing.assert_allclose(plan.states, predicted, atol=1e-9)  # on the plant that was given
    assert (
        plan.candidates['lqr']
        == Controller.classical(other).plan(START, [0] * 4).candidates['lqr']
    )


def test_other_numbers_of_a_given_plant_do_not_count_and_that_is_said(own, tmp_path, caplog):
    (tmp_path / 'crane.py').write_text(CRANE.replace('u_max=[8.0]', 'u_max=[5.0]'))
    other = get_system(str(tmp_path / 'crane.py'))
    assert load_checkpoint(own, other).system.u_max == [8.0]
    assert caplog.messages == ["'my_crane' here has other u_max; those of the file count"]
    assert load_checkpoint(own, other, force=True).system.u_max == [5.0]
    caplog.clear()
    load_checkpoint(own, get_system(str(own.with_name('crane.py'))))
    assert not caplog.messages


def test_parameters_in_another_order_are_other_equations(own, tmp_path):
    path, record = tmp_path / 'crane.safetensors', read_record(own)
    path.write_bytes(own.read_bytes())
    reordered = sorted(record['system']['parameters'].items())
    assert reordered != list(record['system']['parameters'].items())
    record['system']['parameters'] = dict(reordered)  # the equations take them by their places
    write_record(path, record)
    system = get_system(str(own.with_name('crane.py')))
    with pytest.raises(ValueError, match='other equations'):
        load_checkpoint(path, system)
    swapped = tmp_path / 'crane.py'  # the same plant, its parameters in another order
    swapped.write_text(CRANE.replace("{'m': 0.7, 'M': 2.0,", "{'M': 2.0, 'm': 0.7,"))
    assert list(get_system(str(swapped)).parameters) == ['M', 'm', 'length']
    assert load_checkpoint(own, get_system(str(swapped))).system.contract() == system.contract()


def test_files_of_format_2_load_with_the_equations_of_the_system_here(shipped, tmp_path):
    path = save_checkpoint(tmp_path / 'c.safetensors', shipped)
    strip_equations(path)
    if shipped.system.trim is not None:  # a word that format 2 did not know
        with pytest.raises(ValueError, match='made without the trim'):
            load_checkpoint(path)
        return
    if shipped.system.task.constraints:  # nor did it know these
        with pytest.raises(ValueError, match='made without the constraints'):
            load_checkpoint(path)
        return
    again = load_checkpoint(path)
    assert again.system.contract() == shipped.system.contract()
    x, goal = shipped.system.x0_box / 3, np.zeros(shipped.system.n_x)
    assert Controller(again).plan(x, goal).cost == Controller(shipped).plan(x, goal).cost


def test_files_of_format_2_load_with_a_given_system_if_it_has_no_name_here(own, tmp_path):
    path = tmp_path / 'crane.safetensors'
    path.write_bytes(own.read_bytes())
    strip_equations(path)
    with pytest.raises(ValueError, match=r"crane.safetensors' .* unknown system 'my_crane'"):
        load_checkpoint(path)
    plans = [
        Controller.load(path, system=own.with_name('crane.py')).plan(START, np.zeros(4)),
        Controller.load(own).plan(START, np.zeros(4)),
    ]
    assert plans[0].cost == plans[1].cost


BROKEN = {  # of x = 0 to 3, u = 4, p = 5 to 7
    'no outputs': ('outputs', None, "a graph has the parts ['inputs', 'instructions', 'outputs']"),
    'no list': ('instructions', 'exec', "'instructions' of a graph is a list"),
    'an unknown operation': (3, ['exec', 1], "instruction 3 has the unknown operation 'exec'"),
    'an unhashable operation': (3, [['sin'], 1], 'expected an operation and its operands'),
    'a place ahead': (4, ['add', 1, 4], "instruction 4 'add' has the operand 4, expected 0 to 3"),
    'a negative place': (4, ['neg', -1], "instruction 4 'neg' has the operand -1"),
    'a place between places': (4, ['neg', 0.5], "instruction 4 'neg' has the operand 0.5"),
    'too few operands': (4, ['mul', 1], "instruction 4 'mul' has 1 operands, expected 2"),
    'an input that is none': (4, ['input', 8], "'input' has the input 8, expected 0 to 7"),
    'no number': (4, ['constant', float('nan')], 'instruction 4 is the constant nan'),
    'no float': (4, ['constant', 10**400], 'instruction 4 is the constant 1000'),
    'an output that is none': ('outputs', {'dynamics': [0, 1, 2, 10**6]}, 'is no instruction'),
    'too few outputs': ('outputs', {'dynamics': [0, 1, 2]}, "'my_crane' has 4 states"),
    'one more output': ('outputs', {'dynamics': [0] * 4, 'more': [0]}, "'my_crane' has 4 states"),
    'other inputs': ('inputs', {'x': 5, 'u': 1, 'p': 2}, "where 'my_crane' has {'x': 4"),
    'inputs in another order': ('inputs', {'u': 1, 'x': 4, 'p': 3}, "take {'u': 1, 'x': 4"),
}


@pytest.mark.parametrize(('place', 'value', 'message'), BROKEN.values(), ids=BROKEN)
def test_broken_equations_are_refused_in_one_line(place, value, message, own, tmp_path):
    record = read_record(own)
    graph = record['system']['dynamics']
    if value is None:
        del graph[place]
    elif isinstance(place, int):
        graph['instructions'][place] = value
    else:
        graph[place] = value
    path = tmp_path / 'broken.safetensors'
    path.write_bytes(own.read_bytes())
    write_record(path, record)
    with pytest.raises(ValueError, match=re.escape(message)) as refused:
        load_checkpoint(path)
    assert str(refused.value).startswith(f"'{path}' is not a usable trc checkpoint: ")
    assert '\n' not in str(refused.value) and len(str(refused.value)) < 400


def test_numbers_of_another_size_are_refused(shipped, tmp_path):
    if 'representation.K' not in shipped.tensors:
        pytest.skip('no number of it belongs to a step')
    path = save_checkpoint(tmp_path / 'c.safetensors', shipped)
    record = read_record(path)
    if shipped.system.final_time is None:
        record['system']['horizon'] += 1  # kernels would read behind the gains
    else:  # whose plans are as many numbers for any horizon
        record['model']['latent_dim'] += 1
    write_record(path, record)
    with pytest.raises(ValueError, match=r"c.safetensors' .*(representation.K|weight) has shape"):
        load_checkpoint(path)


@pytest.fixture(scope='module')
def poorly_started(own, tmp_path_factory):
    """The same without an LQR plan to start from, so that what the network proposes counts."""
    checkpoint, gains = load_checkpoint(own), 'representation.K_start'
    nothing = np.zeros_like(checkpoint.tensors[gains])
    path = tmp_path_factory.mktemp('poor') / 'crane.safetensors'
    return save_checkpoint(
        path, replace(checkpoint, tensors={**checkpoint.tensors, gains: nothing})
    )


def test_damaged_files_are_refused_or_plan_as_their_numbers_say(poorly_started, tmp_path):
    """TRC_FUZZ_CASES=10000 tries more of them."""
    found = in_a_child(FUZZ, poorly_started, tmp_path / 'damaged.safetensors', CASES)
    assert sum(found.values()) == CASES
    kinds = {kind.partition(' ')[0].rstrip(':') for kind in found}
    assert kinds == {'record', 'tensors', 'file'}
    ends = {kind.partition(': ')[2] for kind in found}
    assert ends <= {'refused', 'equal', 'another plan', 'infinite cost'}, found
    assert {kind for kind in found if kind.endswith('infinite cost')} <= {'record: infinite cost'}
    for kind in ('without', 'renamed', 'no_number'):
        assert found[f'tensors {kind}: refused'] > 0
        assert f'tensors {kind}: equal' not in found
    assert found['tensors another_number: another plan'] > 0  # plans do hang on the weights


def changed(path, whole, edit):
    """A copy of a checkpoint at `path` after `edit(record, tensors)`, as another program would."""
    record = read_record(whole)
    with safe_open(whole, framework='numpy') as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    edit(record, tensors)
    save_file(tensors, path, metadata={RECORD: json.dumps(record)})
    return path


MLP = 'recursive_reasoning.L_level.blocks.0.mlp.input.weight'
UNFIT = {
    'one that is missing': (lambda t: t.pop(MLP), f"the tensor '{MLP}' is missing"),
    'one too many': (
        lambda t: t.update(more=np.zeros(2, np.float32)),
        "the tensor 'more' belongs to no part of the model",
    ),
    'a row less': (
        lambda t: t.update({MLP: t[MLP][1:].copy()}),
        f"{MLP} has shape (31, 16), 'my_crane' needs (32, 16)",
    ),
    'another type': (
        lambda t: t.update({MLP: t[MLP].astype(np.float64)}),
        f'{MLP} is float64, expected float32',
    ),
    'NaN': (lambda t: t[MLP].fill(np.nan), f'{MLP} holds numbers that are not finite'),
    'infinite gains': (
        lambda t: t['representation.K'].fill(np.inf),
        'representation.K holds numbers that are not finite',
    ),
    'gains of fewer steps': (
        lambda t: t.update({'representation.K': t['representation.K'][:15].copy()}),
        "representation.K has shape (15, 1, 4), 'my_crane' needs (40, 1, 4)",
    ),
    'a metric of zeros': (
        lambda t: t['representation.L'].fill(0.0),
        'representation.L holds a matrix that has no inverse',
    ),
    'a state that is none': (
        lambda t: t.update({'representation.mirror': np.array(4)}),
        "representation.mirror is 4, 'my_crane' has 4",
    ),
    'other bounds': (
        lambda t: t['representation.u_max'].fill(80.0),
        "representation.u_max is [80.0], that of 'my_crane' [8.0]",
    ),
}


@pytest.mark.parametrize(('edit', 'message'), UNFIT.values(), ids=UNFIT)
def test_a_tensor_that_the_record_does_not_ask_for_is_refused_by_name(
    edit, message, own, tmp_path
):
    path = changed(tmp_path / 'crane.safetensors', own, lambda record, tensors: edit(tensors))
    with pytest.raises(ValueError, match=re.escape(message)) as refused:
        load_checkpoint(path)
    assert str(refused.value).startswith(f"'{path}' is not a usable trc checkpoint: ")


@pytest.mark.parametrize('architecture', ARCHITECTURES)
@pytest.mark.parametrize('tokens', ['vector', 'horizon'])
def test_the_weights_that_a_config_asks_for_are_those_of_pytorchs_model(architecture, tokens):
    choices = {'plans': 1, 'latent_dim': 16, 'hidden_dim': 12, **ARCHITECTURES[architecture]}
    choices['num_heads'] = choices.get('num_heads', 4 * (tokens == 'horizon'))
    system = get_system('quadrotor_2d')
    model = TinyRecursiveControl.for_system(system, gated(system), tokens=tokens, **choices)
    weights = {
        name: tuple(value.shape)
        for name, value in model.state_dict().items()
        if not name.startswith('representation.')
    }
    assert model.config.shapes(model.representation.problem_dim) == weights


def test_what_fine_tuning_added_is_checked_as_well(tmp_path):
    whole = find_checkpoint('van_der_pol_tuned')
    for edit, message in (
        (lambda t: t.pop('correction.prior'), "the tensor 'correction.prior' is missing"),
        (
            lambda t: t.update({'correction.hidden_weight': np.zeros((32, 5))}),
            'correction.hidden_weight has shape (32, 5)',
        ),
        (
            lambda t: t.update({'correction.trust': np.array(np.nan)}),
            'correction.trust holds numbers that are not finite',
        ),
    ):
        path = changed(tmp_path / 'tuned.safetensors', whole, lambda _, t, edit=edit: edit(t))
        with pytest.raises(ValueError, match=re.escape(message)):
            Controller.load(path)


def test_a_weight_that_changed_on_disk_is_noticed(own, tmp_path):
    content = bytearray(own.read_bytes())
    content[-5] ^= 1
    path = tmp_path / 'crane.safetensors'
    path.write_bytes(content)
    with pytest.raises(ValueError, match='it was damaged since'):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('plans', 3, 'initial_generator.output.weight has shape (40, 16)'),
        ('feedback', ['terminal', 'trajectory'], 'error_encoder.hidden.weight has shape'),
        ('first_cycles', -1, 'first_cycles must not be negative, got -1'),
        ('beam', [0], 'beam must hold numbers from 1 to 1000, got [0]'),
        ('sweeps', 10**12, 'sweeps must be at most 1000, got 1000000000000'),
        ('activation', 'relu', "unknown activation 'relu'; choose from ['swiglu', 'silu']"),
        ('depth', 3, "the model has the unknown field 'depth'"),
        ('control_horizon', 41, "control_horizon of the model is 41, 'my_crane' needs 40"),
        ('L_cycles', 'many', "L_cycles of the model is 'many'"),
        ('use_two_level', float('nan'), 'use_two_level of the model is nan'),
    ],
)
def test_a_network_of_another_size_is_not_flown(key, value, message, own, tmp_path):
    path, record = tmp_path / 'crane.safetensors', read_record(own)
    path.write_bytes(own.read_bytes())
    record['model'][key] = value
    write_record(path, record)
    with pytest.raises(ValueError, match=re.escape(message)):
        Controller.load(path)
