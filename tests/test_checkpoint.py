"""Checkpoints: what is saved comes back; what is damaged is refused in one line."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from trc_core import Controller
from trc_core.checkpoint import (
    FORMAT,
    RECORD,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
    shipped_checkpoints,
)


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
        assert {'clipped LQR', 'iLQR, 12 starts', 'nearest plan + iLQR'} <= set(scores)
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
        'format': FORMAT,
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
