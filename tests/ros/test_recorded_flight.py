"""`trc record` and `trc replay`: a flight over DDS, flown again from its bag."""

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('rosbags')

from probe import ROOT, START_TIMEOUT, arguments
from rcl_interfaces.msg import ParameterEvent
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from test_live_parameters import change

from trc_core.checkpoint import load_checkpoint, save_checkpoint
from trc_core.lab.report.bag import read_topics
from trc_ros.lab.bag import Bag, name_of
from trc_ros.lab.record import command as record_command
from trc_ros.lab.replay import command as replay_command

NAMESPACE = '/recorded'
SIMULATED = (
    *('-p', 'cycle_on:=state', '-p', 'use_sim_time:=true'),
    *('-p', 'input_delay:=0.03'),  # so that commands under way are part of what is remembered
)
NOISE = ('-p', 'measurement_noise:=0.01', '-p', 'disturbance:=0.05', '-p', 'speed:=1')
PATIENCE = 60.0  # [s]


@pytest.fixture(scope='module')
def bag(tmp_path_factory, context):
    """The bag of a flight in lock-step, with another goal and other weights on the way."""
    from probe import Probe, launch

    folder = tmp_path_factory.mktemp('flight')
    probe, own = Probe(context, NAMESPACE, 'slider'), arguments('double_integrator', NAMESPACE)
    nodes = [
        launch('plant', folder / 'plant.log', *own, '-p', 'lockstep:=true', *NOISE),
        launch('controller', folder / 'controller.log', *own, *SIMULATED),
    ]
    try:
        probe.meet(nodes[1], 'state')
        probe.require(lambda: probe.log.command, 'a command', START_TIMEOUT)
        verb = [sys.executable, '-m', 'trc_core.cli', 'record', '--output', str(folder / 'bag')]
        probe.require(lambda: probe.goal_listeners() > 0, 'the controller')
        listeners = probe.goal_listeners()
        said = folder / 'record.log'
        with said.open('w') as output:
            recorder = subprocess.Popen(verb, cwd=ROOT, stdout=output, text=True)
        heard = {f'hearing {NAMESPACE}/{t}' for t in ('state', 'command', 'controller/cycle')}
        probe.require(
            lambda: heard <= set(said.read_text().splitlines()), 'the recorder', PATIENCE
        )
        probe.require(lambda: probe.goal_listeners() > listeners, 'the recorder', PATIENCE)
        fly_on(probe, 30)  # so that it has found the probe, too
        probe.send_goal((0.4, 0.0))
        assert change(probe, NAMESPACE, **{'weights.R': [0.5]}).successful
        fly_on(probe, 50)
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(timeout=PATIENCE) == 0, said.read_text()
        assert f'recording {NAMESPACE}/controller' in said.read_text()
    finally:
        for node in nodes:
            node.kill()
        probe.close()
    return folder / 'bag'


def fly_on(probe, commands):
    """Until so many more commands have come, however fast this machine is."""
    before = len(probe.log.command)
    probe.require(lambda: len(probe.log.command) >= before + commands, 'commands', PATIENCE)


def replay(capsys, tmp_path, *words):
    """What `trc replay` says, its figures, and its exit code."""
    code = 0
    try:
        replay_command.main([*map(str, words), '--output', str(tmp_path / 'replay')])
    except SystemExit as end:
        code = end.code
    file = tmp_path / 'replay' / 'replay.json'
    figures = json.loads(file.read_text()) if file.exists() else {}
    out, err = capsys.readouterr()
    return out + err, figures, code


def test_a_flight_is_flown_again_bit_for_bit(bag, capsys, tmp_path):
    said, figures, code = replay(capsys, tmp_path, bag)
    assert code == 0, said
    assert figures['bit_for_bit'] and figures['same_checkpoint'], said
    assert figures['cycles'] > 50
    assert 'every command is the same, bit for bit' in said
    assert (tmp_path / 'replay' / 'replay.png').stat().st_size > 10_000
    commands = np.array(figures['commands']['recorded'])
    assert len(np.unique(commands)) > 0.5 * len(commands)
    topics = read_topics(bag, lambda topic: True)
    assert {'state', 'goal', 'command'} <= {t.rpartition('/')[2] for t in topics}
    sent = [m.content().data[0] for m in topics[f'{NAMESPACE}/command']]
    assert set(commands[:, 0]) <= set(sent)
    events = [m.content() for m in topics['/parameter_events']]
    assert any(p.name == 'weights.R' for e in events for p in e.changed_parameters)


def test_another_checkpoint_is_told_from_the_one_that_flew(bag, capsys, tmp_path):
    checkpoint = load_checkpoint('double_integrator')
    tensors = dict(checkpoint.tensors)
    name = max(tensors, key=lambda n: tensors[n].size)
    tensors[name] = tensors[name] * np.float32(1.05)
    path = tmp_path / 'other.safetensors'
    save_checkpoint(path, replace(checkpoint, tensors=tensors))
    said, figures, code = replay(capsys, tmp_path, bag, '--checkpoint', path)
    assert (code, figures['same_checkpoint']) == (1, False), said
    differences = np.abs(np.subtract(*(figures['commands'][k] for k in ('recorded', 'now'))))
    worst = int(differences.argmax())
    assert figures['largest']['difference'] == differences.max() > 0
    assert figures['largest']['seconds'] == figures['times'][worst]
    assert f'another checkpoint\n{figures["differing_cycles"]} of' in said
    said, figures, code = replay(capsys, tmp_path, bag, '--checkpoint', path, '--tolerance', 1e3)
    assert code == 0, said


def test_a_weight_that_is_asked_for_counts_before_the_recorded_one(bag, capsys, tmp_path):
    file = tmp_path / 'other.yaml'
    file.write_text('controller: {ros__parameters: {weights: {Q_f: [90.0, 9.0]}}}\n')
    said, figures, code = replay(capsys, tmp_path, bag, '--params', file)
    assert code == 1, said
    assert figures['same_checkpoint']


def test_bags_of_anybody_are_replayed_as_far_as_they_go(bag, capsys, tmp_path):
    """Without cycle records: states, goals and commands only, as `ros2 bag record` has them."""
    stock, topics = Bag(tmp_path / 'stock'), read_topics(bag, lambda topic: True)
    kinds = {name_of(kind): kind for kind in (JointState, Float64MultiArray, ParameterEvent)}
    for name, messages in topics.items():
        for message in messages:
            if message.kind in kinds:
                stock.write(name, kinds[message.kind], message.time, message.data)
    stock.close()
    params, shipped = tmp_path / 'own.yaml', ROOT / 'params' / 'double_integrator.yaml'
    params.write_text(shipped.read_text().replace('input_delay: 0.0', 'input_delay: 0.03'))
    words = ('--params', params, '--tolerance', '10')
    said, figures, code = replay(capsys, tmp_path, tmp_path / 'stock', *words)
    assert code == 0, said
    assert figures['same_checkpoint'] is None and figures['cycles'] > 50
    differences = np.abs(np.subtract(*(figures['commands'][k] for k in ('recorded', 'now'))))
    assert np.mean(differences < 0.05) > 0.9  # but where a goal and a state came together
    assert 'note: the bag holds no /recorded/controller/cycle' in said
    assert 'note: the bag does not tell the parameters' in said
    said, _, code = replay(capsys, tmp_path, tmp_path / 'stock', '--checkpoint', 'van_der_pol')
    assert (code, said.count('\n')) == (1, 1)
    assert 'is one of van_der_pol' in said


def test_a_bag_of_another_system_is_refused(bag, capsys, tmp_path):
    said, _, code = replay(capsys, tmp_path, bag, '--checkpoint', 'van_der_pol')
    assert (code, said.count('\n')) == (1, 1)
    assert 'the bag is of another system: name is double_integrator there' in said


def test_a_damaged_bag_is_one_line(bag, capsys, tmp_path):
    damaged = tmp_path / 'damaged'
    shutil.copytree(bag, damaged)
    [file] = damaged.glob('*.mcap')
    whole = file.read_bytes()
    rng = np.random.default_rng(4)
    flipped = np.frombuffer(whole, np.uint8).copy()
    flipped[rng.integers(len(whole) // 4, len(whole), 400)] ^= 255
    for content in (whole[: len(whole) // 2], whole[:20], b'', flipped.tobytes()):
        file.write_bytes(content)
        said, _, code = replay(capsys, tmp_path, damaged)
        assert (code, said.count('\n')) == (1, 1), said
        assert said.startswith('trc replay: ')
    said, _, code = replay(capsys, tmp_path, tmp_path / 'nowhere')
    assert (code, said.count('\n')) == (1, 1)


def test_code_that_a_bag_names_is_not_run(bag, capsys, tmp_path):
    trap, ran = tmp_path / 'trap.py', tmp_path / 'ran'
    trap.write_text(f'open({str(ran)!r}, "w")\n')
    copied = Bag(tmp_path / 'trapped')
    for name, messages in read_topics(bag, lambda topic: topic.endswith('/cycle')).items():
        for message in messages:
            text = message.content().data
            text = text.replace('"system":"double_integrator"', f'"system":"{trap}"')
            body = text.encode() + b'\0'
            data = b'\0\1\0\0' + len(body).to_bytes(4, 'little') + body
            copied.write(name, String, message.time, data)
    copied.close()
    said, _, code = replay(capsys, tmp_path, tmp_path / 'trapped')
    assert (code, ran.exists()) == (1, False)
    assert 'name it with --system, or a --checkpoint' in said


def test_a_bag_is_replaced_only_if_asked(tmp_path, capsys):
    folder = tmp_path / 'bag'
    folder.mkdir()
    (folder / 'metadata.yaml').touch()
    with pytest.raises(SystemExit, match='is there already; choose another --output, or --force'):
        record_command.main(['--output', str(folder)])
    record_command.make_room(folder, force=True)
    assert not folder.exists()
    folder.mkdir()
    (folder / 'thesis.tex').touch()
    with pytest.raises(SystemExit, match='is no bag: --force replaces bags only'):
        record_command.main(['--output', str(folder), '--force'])
    assert (folder / 'thesis.tex').exists()


def test_a_controller_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(record_command, 'SEARCH_TIME', 0.5)
    words = ['--output', str(tmp_path / 'bag'), '--controller', '/nobody/controller']
    with pytest.raises(
        SystemExit, match="there is no node '/nobody/controller'; `ros2 node list`"
    ):
        record_command.main(words)
