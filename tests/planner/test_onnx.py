"""`trc export` and the backend 'onnx': the kernels' plans from one file, without PyTorch."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from tests.random_models import ARCHITECTURES as PLAIN_ONES
from tests.random_models import SIZES, VARIANTS, randomised
from trc_core import SYSTEMS, Controller, exported_network
from trc_core.checkpoint import load_checkpoint, save_checkpoint
from trc_core.commands import export as command
from trc_core.models import TinyRecursiveControl
from trc_core.models.persistence import save_model
from trc_core.models.plan_representation import for_system
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.representation import Coordinates
from trc_core.planner import backends
from trc_core.planner.onnx import writing
from trc_core.planner.onnx.network_graph import NetworkGraph

NAMES = ['double_integrator', 'van_der_pol']
ARCHITECTURES = {
    **PLAIN_ONES,
    'beam': {
        'use_two_level': True,
        'plans': 3,
        'first_cycles': 2,
        'beam': (3, 2, 1),
        'feedback': ('terminal', 'trajectory', 'gradient'),
        'feedback_stride': 4,
    },
    'sweeps': {'plans': 2, 'beam': (2,), 'sweeps': 1, 'feedback': ('trajectory',)},
}

pytestmark = pytest.mark.long


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    """The graph of a shipped checkpoint, by name."""
    folder, paths = tmp_path_factory.mktemp('exported'), {}

    def export(name):
        if name not in paths:
            checkpoint = load_checkpoint(name)
            paths[name] = backends.export_network(checkpoint, folder / f'{name}.onnx').path
        return paths[name]

    return export


def poorly_started(name, architecture, representation, folder):
    """A random network whose proposals count: no LQR plan, which they could hardly better."""
    system = SYSTEMS[name]
    choices = {**SIZES, **ARCHITECTURES[architecture]}
    plans = for_system(system, Coordinates(representation))
    torch.manual_seed(0)
    model = randomised(TinyRecursiveControl.for_system(system, plans, **choices))
    checkpoint = load_checkpoint(save_model(folder / 'm.safetensors', model, system))
    gains = 'representation.K_start'
    nothing = np.zeros_like(checkpoint.tensors[gains])
    return replace(checkpoint, tensors={**checkpoint.tensors, gains: nothing})


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('representation', ['open_loop', 'stabilised', 'gated'])
@pytest.mark.parametrize('architecture', ARCHITECTURES)
def test_a_graph_plans_what_the_kernels_plan(name, representation, architecture, tmp_path):
    checkpoint = poorly_started(name, architecture, representation, tmp_path)
    path = tmp_path / 'm.onnx'
    path.write_bytes(writing.graph_of(checkpoint))
    backends = Controller(checkpoint), Controller(load_checkpoint(path))
    assert backends[0].backend == ('torch' if architecture in VARIANTS else 'numba')
    x0, goal = checkpoint.system.sample(np.random.default_rng(2), 20)
    sources = set()
    for a, b in zip(x0, goal, strict=True):
        expected, found = (controller.plan(a, b) for controller in backends)
        np.testing.assert_allclose(found.controls, expected.controls, atol=3e-4)
        np.testing.assert_allclose(found.states, expected.states, atol=1e-3)
        np.testing.assert_allclose(found.cost, expected.cost, rtol=1e-4)
        assert found.cycles == expected.cycles
        costs = [list(plan.candidates.values()) for plan in (found, expected)]
        np.testing.assert_allclose(*costs, rtol=1e-4)
        sources.add(found.source)
    if architecture in ('beam', 'sweeps'):
        assert 'refined' in sources  # else proposals would not have been compared


@pytest.mark.parametrize('name', NAMES)
def test_shipped_controllers_plan_the_same_one_by_one_and_as_a_fleet(name, exported):
    kernels, graph = Controller.load(name), Controller.load(exported(name))
    x0, goal = kernels.system.sample(np.random.default_rng(3), 30)
    expected = kernels.plan_batch(3 * x0 if name == 'double_integrator' else x0, goal)
    found = graph.plan_batch(3 * x0 if name == 'double_integrator' else x0, goal)
    np.testing.assert_allclose(found.controls, expected.controls, atol=1e-5)
    for i in range(5):
        single = graph.plan(x0[i], goal[i])
        assert abs(single.cost - kernels.plan(x0[i], goal[i]).cost) <= 1e-8 * single.cost
        assert single.candidates.keys() == expected.candidates.keys()


def test_a_swing_up_costs_the_same(exported):
    kernels = Controller.load('cartpole_swingup')
    graph = Controller.load(exported('cartpole_swingup'))
    x0, goal = kernels.system.sample(np.random.default_rng(3), 40)
    expected, found = (controller.plan_batch(x0, goal) for controller in (kernels, graph))
    assert np.isclose(found.cost, expected.cost, rtol=1e-4).mean() >= 0.95
    assert (found.source == 'refined').mean() > 0.5


def edited(path, target, edit):
    """A copy of a graph after `edit(record)`."""
    model = onnx.load(path)
    model.DiscardUnknownFields()  # the hash of the bytes that are about to change
    (entry,) = (entry for entry in model.metadata_props if entry.key == 'trc')
    record = json.loads(entry.value)
    edit(record)
    entry.value = json.dumps(record)
    onnx.save(model, target)
    return target


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('latent_dim', 64, 'z of the graph has the size 128, its record needs 64'),
        ('plans', 2, 'first_plans of the graph has the size 100, its record needs 200'),
        ('feedback', ['gradient'], 'consequences of the graph has the size'),
        ('control_horizon', 50, "control_horizon of the model is 50, 'van_der_pol' needs 100"),
    ],
)
def test_a_graph_of_other_sizes_than_its_record_says_is_refused(
    key, value, message, exported, tmp_path
):
    path = edited(
        exported('van_der_pol'),
        tmp_path / 'm.onnx',
        lambda record: record['model'].update({key: value}),
    )
    with pytest.raises(ValueError, match=message) as refused:
        Controller.load(path)
    assert str(refused.value).startswith(f"'{path}' is not a usable trc checkpoint: ")


@pytest.mark.parametrize('name', NAMES)
def test_a_warm_start_is_gone_on_with(name, exported):
    plans = []
    for controller in (Controller.load(name), Controller.load(exported(name))):
        first = controller.plan([1.5, -1.0], [0.0, 0.0])
        following = controller.plan(first.states[1], [0.0, 0.0], warm_start=first)
        surprised = controller.plan(first.states[1] + 0.5, [0.0, 0.0], warm_start=first)
        plans.append((following, surprised))
        assert following.candidates.keys() == {'lqr', 'network', 'previous'}
    for expected, found in zip(*plans, strict=True):
        np.testing.assert_allclose(found.controls, expected.controls, atol=1e-5)
        np.testing.assert_allclose(found.candidates['previous'], expected.candidates['previous'])


@pytest.mark.parametrize('name', NAMES)
def test_nothing_but_a_cheapest_previous_plan_is_refined_where_it_was_foreseen(name, tmp_path):
    checkpoint = poorly_started(name, 'beam', 'open_loop', tmp_path)
    path = tmp_path / 'm.onnx'
    path.write_bytes(writing.graph_of(checkpoint))
    x0, goal = checkpoint.system.sample(np.random.default_rng(4), 20)
    r = constant_reference(goal, checkpoint.system.horizon)
    previous = 0.1 * np.random.default_rng(5).normal(size=(20, checkpoint.system.horizon, 1))
    plans = {}
    for narrow in (False, True):
        problems = writing.Problems(x0, r, previous, np.full(20, narrow))
        kernels, graph = (
            writing._solved(Controller(c)._planning.backend, checkpoint, problems)
            for c in (checkpoint, load_checkpoint(path))
        )
        np.testing.assert_allclose(graph.u, kernels.u, atol=1e-4)
        plans[narrow] = graph
    last = plans[True].starts.argmin(1) == 4
    assert last.any()
    assert (plans[True].start[last] == 4).all()
    assert (plans[False].start[last] != 4).any()


@pytest.mark.parametrize('name', NAMES)
def test_no_time_leaves_a_feasible_plan_and_enough_time_every_cycle(name, exported):
    controller = Controller.load(exported(name), tolerance=0.0)
    controller.warm_up()
    rushed = controller.plan([6.0, -6.0], [0.0, 0.0], deadline=0.0)
    relaxed = controller.plan([6.0, -6.0], [0.0, 0.0], deadline=10.0)
    unhurried = controller.plan([6.0, -6.0], [0.0, 0.0])
    assert (rushed.cycles, relaxed.cycles) == (0, unhurried.cycles)
    assert unhurried.cycles > 0
    assert rushed.cost == pytest.approx(min(rushed.candidates.values()))
    assert relaxed.cost <= rushed.cost < np.inf
    system = controller.system
    assert ((system.u_min <= rushed.controls) & (rushed.controls <= system.u_max)).all()


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('size', [1e200, 1e308])
def test_a_state_beyond_all_numbers_still_gives_controls_inside_the_bounds(name, size, exported):
    controller = Controller.load(exported(name))
    plan = controller.plan([size, -size], [0.0, 0.0])
    assert not plan.converged
    assert (plan.controls >= controller.system.u_min).all()
    assert (plan.controls <= controller.system.u_max).all()


def test_a_graph_flies_a_plant_with_other_parameters(exported):
    parameters = {'mu': 1.3}
    kernels = Controller.load('van_der_pol_mu', parameters=parameters)
    graph = Controller.load(exported('van_der_pol_mu'), parameters=parameters)
    expected, found = (c.plan([1.5, 1.0], [0.0, 0.0]) for c in (kernels, graph))
    np.testing.assert_allclose(found.controls, expected.controls, atol=1e-5)


def test_a_graph_plans_within_narrower_bounds_and_for_the_parameters_of_a_single_plan(exported):
    plans = []
    for name in ('van_der_pol', exported('van_der_pol')):
        controller = Controller.load(name)
        controller.bounds = [-0.5], [0.25]
        plans.append(controller.plan([1.5, 1.0], [0.0, 0.0], p=[1.2]))
    np.testing.assert_allclose(plans[1].controls, plans[0].controls, atol=1e-5)
    assert plans[1].controls.min() >= -0.5 and plans[1].controls.max() <= 0.25


def test_a_graph_holds_the_network_for_any_number_of_rows_and_no_physics(exported):
    graph, checkpoint = onnx.load(exported('double_integrator')).graph, load_checkpoint('pendulum')
    assert {node.op_type for node in graph.node}.isdisjoint({'Loop', 'If', 'Scan'})
    assert {i.name for i in graph.input} == {
        *('problem', 'plan', 'consequences', 'slope'),
        *('z', 'z_H', 'z_L'),
    }
    session = exported_network.ExportedNetwork(exported('pendulum'))
    rng = np.random.default_rng(0)
    inputs = {
        argument.name: rng.normal(size=(7, argument.shape[1])).astype(np.float32)
        for argument in session.session.get_inputs()
    }
    outputs = ['output', 'z_H_next', 'z_L_next', 'first_plans']
    together = session.run(outputs, inputs)
    assert together[3].shape == (7, checkpoint.model['plans'] * checkpoint.system.horizon)
    for row in range(7):
        alone = session.run(outputs, {name: value[[row]] for name, value in inputs.items()})
        for one, all_rows in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], all_rows[row], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('architecture', VARIANTS)
def test_a_variant_that_kernels_do_not_fly_is_exported_and_flies(architecture, tmp_path):
    checkpoint = poorly_started('van_der_pol', architecture, 'stabilised', tmp_path)
    written = backends.export_network(checkpoint, tmp_path / 'm.onnx')
    assert written.reference == 'torch'
    controller = Controller.load(written.path)
    plan = controller.plan([1.0, 0.5], [0.0, 0.0])
    assert plan.cost == pytest.approx(Controller(checkpoint).plan([1.0, 0.5], [0.0, 0.0]).cost)


def test_a_graph_says_all_that_a_checkpoint_says(exported):
    original, read = load_checkpoint('van_der_pol'), load_checkpoint(exported('van_der_pol'))
    assert read.record == original.record
    for name, value in read.tensors.items():
        np.testing.assert_array_equal(value, original.tensors[name])
    controller = Controller.load(exported('van_der_pol'))
    assert (controller.backend, controller.reason) == (
        'onnx',
        "'van_der_pol.onnx' is an exported graph",
    )


PROBE = """
import sys
sys.modules['torch'] = sys.modules['onnx'] = None
from trc_core import Controller
plan = Controller.load(sys.argv[1]).plan([1.0, 0.5], [0.0, 0.0])
extras = {'lightning', 'sympy', 'casadi', 'trc_core.planner.onnx.writing'}
print(plan.cost, sorted(extras & set(sys.modules)))
"""


@pytest.mark.parametrize('name', NAMES)
def test_a_robot_flies_a_graph_with_neither_pytorch_nor_onnx(name, exported):
    command = [sys.executable, '-c', PROBE, str(exported(name))]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    cost, loaded = run.stdout.split(maxsplit=1)
    assert float(cost) == pytest.approx(Controller.load(name).plan([1.0, 0.5], [0.0, 0.0]).cost)
    assert loaded.strip() == '[]'


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('part', ['_silu', '_normalised', 'propose', 'first_plans'])
def test_a_graph_that_plans_otherwise_is_not_written(name, part, monkeypatch, tmp_path):
    original = getattr(NetworkGraph, part)

    def wrong(*arguments):
        found = original(*arguments)
        return (found[0] * 1.2, *found[1:]) if isinstance(found, tuple) else found * 1.2

    monkeypatch.setattr(NetworkGraph, part, wrong)
    with pytest.raises(ValueError, match='nothing was written'):
        backends.export_network(load_checkpoint(name), tmp_path / 'broken.onnx')
    assert list(tmp_path.iterdir()) == []


def test_on_a_swing_up_the_costs_decide(monkeypatch, tmp_path):
    original = NetworkGraph._silu
    monkeypatch.setattr(NetworkGraph, '_silu', lambda *a: original(*a) * 1.2)
    with pytest.raises(ValueError, match='of the costs agree, expected 95%; nothing was written'):
        backends.export_network(load_checkpoint('cartpole_swingup'), tmp_path / 'broken.onnx')


def test_a_damaged_file_is_named(tmp_path, exported):
    path = tmp_path / 'broken.onnx'
    whole = exported('van_der_pol').read_bytes()
    for content in (b'no graph', b'', whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r'broken\.onnx') as error:
            Controller.load(path)
        assert '\n' not in str(error.value)


def test_the_graph_of_somebody_else_is_named(tmp_path, exported):
    model = onnx.load(exported('van_der_pol'))
    del model.metadata_props[:]
    onnx.save(model, tmp_path / 'other.onnx')
    with pytest.raises(ValueError, match=r'other\.onnx.* is not a graph of trc export'):
        Controller.load(tmp_path / 'other.onnx')


def test_a_whole_plan_of_an_earlier_version_is_named(tmp_path, exported):
    # Files of earlier versions have no hash behind them.
    content = exported('van_der_pol').read_bytes()
    model = onnx.load_from_string(content[: -exported_network.DIGEST - len(exported_network.SEAL)])
    onnx.helper.set_model_props(
        model,
        {prop.key: prop.value for prop in model.metadata_props} | {'trc.graph': 'plan'},
    )
    onnx.save(model, tmp_path / 'old.onnx')
    with pytest.raises(
        ValueError, match=r"old\.onnx.*a 'plan' of another version; export it anew"
    ):
        Controller.load(tmp_path / 'old.onnx')


def test_a_graph_runs_on_no_other_backend(exported):
    with pytest.raises(ValueError, match="runs with backend='onnx', not 'numba'"):
        Controller.load(exported('van_der_pol'), backend='numba')
    with pytest.raises(ValueError, match="device 'cuda' is not available"):
        Controller.load(exported('van_der_pol'), device='cuda')


def test_a_model_with_a_latent_for_every_step_is_refused(tmp_path):
    system = SYSTEMS['double_integrator']
    plans = for_system(system, Coordinates())
    sizes = {'latent_dim': 16, 'hidden_dim': 12, 'num_heads': 4, 'tokens': 'horizon'}
    model = TinyRecursiveControl.for_system(system, plans, **sizes)
    checkpoint = load_checkpoint(save_model(tmp_path / 'm.safetensors', model, system))
    with pytest.raises(ValueError, match="tokens='vector'"):
        backends.export_network(checkpoint, tmp_path / 'm.onnx')


def test_a_checkpoint_by_name_is_exported_once(monkeypatch, tmp_path):
    monkeypatch.setattr(exported_network, 'cache_folder', lambda: tmp_path)
    plan = Controller.load('van_der_pol', backend='onnx').plan([1.0, 0.5], [0.0, 0.0])
    (path,) = tmp_path.iterdir()
    monkeypatch.setattr(backends, 'export_network', None)  # would be called a second time
    again = Controller.load('van_der_pol', backend='onnx').plan([1.0, 0.5], [0.0, 0.0])
    assert again.cost == plan.cost
    assert list(tmp_path.iterdir()) == [path]


def test_a_cached_graph_that_a_power_cut_has_damaged_is_made_again(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(exported_network, 'cache_folder', lambda: tmp_path)
    plan = Controller.load('van_der_pol', backend='onnx').plan([1.0, 0.5], [0.0, 0.0])
    (path,) = tmp_path.iterdir()
    whole, weights = path.read_bytes(), bytearray(path.read_bytes())
    weights[len(whole) // 2] ^= 1
    for damaged in (b'', whole[: len(whole) // 2], bytes(len(whole)), bytes(weights)):
        path.write_bytes(damaged)
        caplog.clear()
        again = Controller.load('van_der_pol', backend='onnx').plan([1.0, 0.5], [0.0, 0.0])
        assert again.cost == plan.cost and path.read_bytes() == whole
        (notice,) = caplog.messages
        assert notice.startswith(f"'{path}' is damaged")
    path.write_bytes(bytes(weights))
    with pytest.raises(ValueError, match=r'it was damaged since it was written') as refused:
        Controller.load(path)  # a graph of the user's own is refused
    assert '\n' not in str(refused.value)


def test_what_is_missing_is_named(monkeypatch, tmp_path, exported):
    path = exported('van_der_pol')
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, 'onnxruntime', None)
        with pytest.raises(ValueError, match=r"pip install 'trc\[onnx\]'"):
            Controller.load(path)
    monkeypatch.setattr(exported_network, 'cache_folder', lambda: tmp_path)
    monkeypatch.setitem(sys.modules, 'onnx', None)
    makers = {f'trc_core.planner.onnx.{name}' for name in ('writing', 'builder', 'network_graph')}
    for name in makers & set(sys.modules):
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ValueError, match='run trc export --checkpoint NAME on a machine with'):
        Controller.load('van_der_pol', backend='onnx')


def test_threads_are_as_many_as_asked_for(exported):
    for asked, given in ((None, 1), (2, 2)):
        graph = exported_network.ExportedNetwork(exported('van_der_pol'), asked)
        options = graph.session.get_session_options()
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (given, 1)


def test_the_command_writes_a_controller_and_says_what(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command.main(['--checkpoint', 'double_integrator', '--cycles', '5'])
    line = capsys.readouterr().out
    assert line.count('\n') == 1
    assert line.startswith('double_integrator.onnx: ')
    assert "differ from those of the backend 'numba' by at most" in line
    controller = Controller.load('double_integrator.onnx')
    assert controller.cycles == 5


def test_a_graph_does_not_replace_its_checkpoint(tmp_path, capsys):
    path = save_checkpoint(tmp_path / 'm.safetensors', load_checkpoint('double_integrator'))
    before = path.read_bytes()
    with pytest.raises(SystemExit):
        command.main(['--checkpoint', str(path), '--output', str(path)])
    assert "m.safetensors' must end in .onnx" in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--checkpoint', 'nope'], "no checkpoint 'nope'"),
        (['--checkpoint', 'double_integrator', '--cycles', '-1'], 'must not be negative'),
        (['--checkpoint', 'double_integrator', '--output', '/proc/no/m.onnx'], '/proc/no'),
        (['--checkpoint', 'double_integrator', '--output', 'm'], "'m' must end in .onnx"),
        (['--checkpoint', 'double_integrator', '--output', '.'], "'.' must end in .onnx"),
    ],
)
def test_a_mistake_is_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        command.main(arguments)
    errors = capsys.readouterr().err
    assert stop.value.code == 1
    assert message in errors and errors.count('\n') == 1
