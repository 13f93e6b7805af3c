"""The experiments: resumable, and their figures are what another way of computing gives."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trc_core import SYSTEMS
from trc_core.evaluation.closed_loop import CONVERGED, PerturbedPlant, fly, tick_planners
from trc_core.evaluation.problems import fresh_problems
from trc_core.lab.experiments import (
    ablation,
    compared_networks,
    cycles,
    environments,
    generalization,
    hierarchy,
    iterations,
    latent_analysis,
    proposals,
    rocket,
    surprises,
)
from trc_core.lab.experiments import parameter_efficiency as efficiency
from trc_core.lab.experiments.baseline_networks import count_weights, plain_network
from trc_core.lab.experiments.command import EXPERIMENTS, find, main
from trc_core.lab.experiments.frame import Experiment, among, key, names, render, run
from trc_core.lab.experiments.judging import Problems, alone, judge_alone, judge_guarded
from trc_core.lab.experiments.learning import (
    Budget,
    FreshStates,
    every_cycle,
    every_cycle_detached,
    fit,
    last_cycle,
    last_cycle_truncated,
    network,
    train,
)
from trc_core.lab.experiments.memory import peak_bytes
from trc_core.lab.experiments.oracle_mpc import OracleMpc
from trc_core.lab.experiments.text_model import (
    END,
    TextModel,
    encode,
    parse,
    plan_text,
    prompt,
)
from trc_core.models.persistence import load_model
from trc_core.models.simulation import SystemDynamics
from trc_core.numerics.cost import trajectory_cost
from trc_core.planner.controller import Controller
from trc_core.solvers import ilqr, lqr, nlp
from trc_core.training.supervised_trainer import expert_plan

RESULTS = Path(__file__).parents[2] / 'docs' / 'results'
TINY = {'latent_dim': 8, 'hidden_dim': 8, 'num_heads': 0, 'use_two_level': True}
SYSTEM = SYSTEMS['double_integrator']
SIZES = {
    'iterations': replace(
        iterations.EXPERIMENT.default,
        systems=('double_integrator',),
        trained_system='double_integrator',
        trained_cycles=(1, 3),
        states=6,
        steps=3,
        batch=4,
        seeds=1,
    ),
    'generalization': replace(
        generalization.EXPERIMENT.default,
        systems=('double_integrator',),
        horizon_system='double_integrator',
        horizon_factors=(1.0, 2.0),
        flown=('van_der_pol',),
        errors=(0.1,),
        mu=(1.0, 1.3),
        states=4,
        steps=3,
        batch=4,
        seeds=1,
        flights=1,
    ),
    'hierarchy': replace(
        hierarchy.EXPERIMENT.default, systems=('double_integrator',), states=20, cycles=3
    ),
    'ablation': replace(
        ablation.EXPERIMENT.default,
        system='double_integrator',
        states=6,
        steps=2,
        medium_steps=1,
        batch=4,
        seeds=1,
    ),
    'surprises': replace(surprises.EXPERIMENT.default, flights=1),
    'rocket': replace(rocket.EXPERIMENT.default, states=2, flights=1, tried=1, drawn=1),
    'environments': replace(environments.EXPERIMENT.default, episodes=1),
    'proposals': replace(proposals.EXPERIMENT.default, problems=1, stored=4),
    'cycles': replace(
        cycles.EXPERIMENT.default,
        beside=('van_der_pol',),
        states=3,
        between=(),
    ),
    'parameter-efficiency': replace(
        efficiency.EXPERIMENT.default,
        tasks=(efficiency.Task('double_integrator', 'open_loop', 0.05),),
        optima=20,
        states=4,
        batch=4,
        rounds=1,
        seeds=1,
        sizes=('small',),
    ),
}


LONG = ('generalization', 'cycles', 'environments', 'rocket', 'parameter-efficiency')
WITHOUT_LQR = (
    'hierarchy',
    'surprises',
    'proposals',
    'environments',
    'rocket',
)  # which is no rival there


@dataclass(frozen=True)
class Count:
    """The size of the experiment below."""

    units: int = 3


def counting(calls, fail_at=None):
    def work(i):
        if i == fail_at:
            raise KeyboardInterrupt
        calls.append(i)
        return {'value': i / 3}

    def draw(results):
        from matplotlib.figure import Figure

        return Figure()

    return Experiment(
        'counting',
        'how far one can count',
        Count(),
        Count(),
        lambda size, seed: {key('unit', i): lambda i=i: work(i) for i in range(size.units)},
        lambda results: [f'last {results["unit / 2"]["value"]}'],
        draw,
    )


def test_an_interrupted_experiment_goes_on_where_it_stopped(tmp_path):
    calls = []
    with pytest.raises(KeyboardInterrupt):
        run(counting(calls, fail_at=2), Count(), 0, tmp_path, 'trc experiment counting')
    page = run(counting(calls), Count(), 0, tmp_path, 'trc experiment counting')
    assert calls == [0, 1, 2]
    assert 'last 0.666666667' in page.read_text() and (tmp_path / 'counting.png').exists()
    run(counting(calls), Count(), 0, tmp_path, 'trc experiment counting', fresh=True)
    assert calls == [0, 1, 2, 0, 1, 2]


def test_runs_with_other_settings_are_not_mixed(tmp_path):
    run(counting([]), Count(), 0, tmp_path, 'a')
    with pytest.raises(ValueError, match='holds a run with seed 0, not 1'):
        run(counting([]), Count(), 1, tmp_path, 'a')
    with pytest.raises(ValueError, match='--fresh to begin anew'):
        run(counting([]), Count(2), 0, tmp_path, 'a')


@pytest.mark.parametrize(
    'name',
    [pytest.param(n, marks=[pytest.mark.long] * (n in LONG)) for n in EXPERIMENTS],
)
def test_every_experiment_runs_and_says_where_its_figures_come_from(name, tmp_path):
    page = run(find(name), SIZES[name], 7, tmp_path, f'trc experiment {name}')
    text = page.read_text()
    assert f'| command | `trc experiment {name}` |' in text and '| seed | 7 |' in text
    assert 'clipped LQR' in text or name in WITHOUT_LQR
    assert 'nan' not in text
    contents = json.loads((tmp_path / f'{name}.json').read_text())
    assert contents['size'] == json.loads(json.dumps(asdict(SIZES[name])))


@pytest.mark.parametrize('name', EXPERIMENTS)
def test_the_published_page_shows_the_published_figures(name):
    experiment = find(name)
    contents = json.loads((RESULTS / f'{name}.json').read_text())
    assert contents['size'] == json.loads(json.dumps(asdict(experiment.default)))
    units = experiment.units(experiment.default, contents['seed'])
    results = {unit: contents['units'][unit]['figures'] for unit in units}
    assert (RESULTS / f'{name}.md').read_text() == render(experiment, contents, results)
    assert (RESULTS / f'{name}.png').stat().st_size < 150_000
    assert (RESULTS / f'{name}.json').stat().st_size < 100_000


def test_units_are_found_by_the_parts_of_their_key():
    results = {key('a', 'x', 0): {'v': 1}, key('a', 'x', 1): {'v': 2}, key('a', 'xy', 0): {}}
    assert among(results, 'a', 'x') == [{'v': 1}, {'v': 2}]
    assert names(results, 1, 'a') == ['x', 'xy']


def test_the_experiments_are_listed_and_a_wrong_name_names_them(capsys):
    main(['--list'])
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(EXPERIMENTS)
    with pytest.raises(SystemExit):
        main(['magic'])
    assert "unknown experiment 'magic'; choose from" in capsys.readouterr().err


def small(seed=0, representation='open_loop', **choices):
    return network(SYSTEM, representation, seed, **{**TINY, **choices})


def stepped(system, x, controls):
    """The trajectory (T + 1, n_x), step by step."""
    states = [x]
    for u in controls:
        states.append(system.step(states[-1], u))
    return np.array(states)


def test_the_network_alone_is_judged_by_its_own_plans():
    problems = Problems.fresh(SYSTEM, 5)
    model = small(3)
    torch.nn.init.normal_(model.initial_generator.output.weight, std=0.3)
    dynamics = SystemDynamics(model.representation, SYSTEM)
    with torch.no_grad():
        plan, _ = next(iter(alone(model, dynamics, problems.tensors, 0)))
    controls = np.clip(plan.v.numpy(), SYSTEM.u_min, SYSTEM.u_max)
    flown = zip(problems.x0, controls, strict=True)
    states = np.array([stepped(SYSTEM, x, u) for x, u in flown])
    cost = trajectory_cost(SYSTEM, states, controls, problems.goal[:, None])
    optimum = [nlp.solve(SYSTEM, *ends).cost for ends in zip(problems.x0, problems.goal)]  # noqa: B905
    (figures,) = judge_alone(model, problems, 0)
    assert figures['mean'] == pytest.approx(np.mean(cost / optimum), rel=1e-5)
    assert figures['error'] == pytest.approx(
        np.abs(states[:, -1] - problems.goal).sum(1).mean(), rel=1e-6
    )
    assert judge_guarded(model, problems, 0)[0]['mean'] < figures['mean']  # the LQR is better


def test_the_baselines_beside_every_result_are_the_solvers():
    problems = Problems.fresh(SYSTEMS['van_der_pol'], 6)
    found = problems.baselines()
    ends = list(zip(problems.x0, problems.goal, strict=True))
    own = {
        'clipped LQR': [lqr.solve(problems.system, *e).cost for e in ends],
        'LQR + 1 iLQR sweep': [ilqr.solve(problems.system, *e, sweeps=1).cost for e in ends],
    }
    for label, costs in own.items():
        assert found[label]['max'] == pytest.approx(np.max(costs / problems.optimum), rel=1e-12)
    assert found['iLQR, converged']['mean'] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ('supervise', 'first_learns', 'memory_passes'),
    [
        (every_cycle, True, True),
        (every_cycle_detached, True, False),
        (last_cycle, True, True),
        (last_cycle_truncated, False, False),
    ],
)
def test_gradients_reach_what_each_supervision_says(supervise, first_learns, memory_passes):
    model = small(H_cycles=2, feedback=('trajectory',))
    dynamics = SystemDynamics(model.representation, SYSTEM)
    loss = supervise(model, dynamics, FreshStates(SYSTEM, 4, 0)())
    loss.backward()
    first = model.initial_generator.output.weight.grad
    assert (first is not None and bool(first.any())) == first_learns
    # H_init is read before the first cycle only
    H_init = model.recursive_reasoning.H_init.grad
    reached = H_init is not None and bool(H_init.any())
    assert reached == (supervise is not last_cycle_truncated)
    cut = {every_cycle_detached: lambda k: k > 0, last_cycle_truncated: lambda k: k == 1}
    history = list(
        alone(
            model,
            dynamics,
            FreshStates(SYSTEM, 4, 0)(),
            2,
            cut.get(supervise, lambda k: False),
        )
    )
    (grad,) = torch.autograd.grad(
        history[-1][1][0].sum(), history[1][1][0], allow_unused=True, retain_graph=True
    )
    assert (grad is not None) == memory_passes


def test_a_short_training_lowers_the_cost_and_repeats_itself():
    problems, means = Problems.fresh(SYSTEM, 20), []
    for _ in range(2):
        model = small(1, H_cycles=1, feedback=('trajectory',))
        before = judge_alone(model, problems, 1)[1]['mean']
        spent = train(model, SYSTEM, FreshStates(SYSTEM, 16, 1), Budget(40))
        means.append(judge_alone(model, problems, 1)[1]['mean'])
    assert spent['steps'] == 40
    assert means[0] == means[1] < 0.8 * before


def test_a_budget_of_seconds_ends_a_training():
    layer = torch.nn.Linear(1, 1)
    spent = fit(layer, lambda: layer.weight.square().sum(), Budget(cpu_seconds=0.05))
    assert spent['steps'] > 1 and spent['cpu_seconds'] >= 0.05


def test_the_memory_of_tensors_is_counted_while_they_live():
    weights = torch.zeros(1000, 1000)

    def chain():
        a = torch.zeros(1000)
        b = a + 1
        del a
        return (b * 2).view(10, 100)[0].add_(1)

    assert peak_bytes(chain) == 8000
    held = []
    assert peak_bytes(lambda: held.extend(torch.zeros(1000) for _ in range(5))) == 20000
    assert peak_bytes(lambda: weights.t() @ weights[:, :2]) == 8000


def test_truncation_saves_memory_in_training():
    size = replace(SIZES['ablation'], batch=64)
    found = {name: ablation._memory(size, v) for name, v in ablation.GUIDES.items()}
    assert found['two-level, truncated']['training'] < 0.7 * found['two-level']['training']
    model = ablation._build(SYSTEM, ablation.GUIDES['two-level'], 0)
    assert found['two-level']['weights'] == 4 * model.get_parameter_count()['total']


@pytest.mark.parametrize('kind', ['perceptron', 'transformer'])
def test_plain_networks_have_the_weights_asked_for(kind):
    baseline = plain_network(SYSTEM, 'open_loop', kind, 120_000)
    assert count_weights(baseline) == pytest.approx(120_000, rel=0.05)
    x0, goal = FreshStates(SYSTEM, 3, 0)()
    v, _ = baseline(x0, goal)
    assert v.shape == (3, SYSTEM.horizon, SYSTEM.n_u)
    with pytest.raises(ValueError, match='choose from'):
        plain_network(SYSTEM, 'open_loop', 'tree', 10)


def test_a_perfect_imitator_has_no_loss_and_plans_the_optimum():
    system = SYSTEMS['van_der_pol']
    dataset = compared_networks.Dataset.of(system, 3, 3, 0)
    baseline = plain_network(system, 'stabilised', 'perceptron', 5000)
    dynamics = SystemDynamics(baseline.representation, system)
    batch = dataset.batch()
    v = expert_plan(baseline.representation, batch)
    flown = dynamics.simulate(v, batch['current_state'], batch['target_state'])
    np.testing.assert_allclose(flown.controls, batch['controls'], atol=1e-9)
    problems = Problems.of(system, dataset.draw.x0.numpy(), dataset.draw.goal.numpy())
    states, controls = dataset.states.numpy(), dataset.controls.numpy()
    J = trajectory_cost(system, states, controls, problems.goal[:, None])
    np.testing.assert_allclose(J, problems.optimum, rtol=1e-6)
    assert float(compared_networks._imitation(baseline, dataset).detach()) > 0.0


def test_plans_survive_being_written_and_read():
    controls = np.random.default_rng(0).uniform(-4, 4, (15, 1))
    text = plan_text(controls)
    assert np.abs(parse(text, 15, 1) - controls).max() <= 0.005 + 1e-12
    assert parse(text[:-1], 15, 1) is None  # never ended
    assert parse(text, 14, 1) is None and parse(text, 16, 1) is None
    assert parse(text.replace('.', '..', 1), 15, 1) is None


def test_a_text_model_learns_a_line_by_heart_and_its_cache_changes_nothing():
    torch.manual_seed(0)
    model = TextModel(SYSTEM, 16)
    x0, goal = (a[:1] for a in fresh_problems(SYSTEM, 1))
    plan = plan_text(np.linspace(-4, 4, 15)[:, None])
    begin = prompt(x0[0], goal[0])
    line = encode(begin + plan)[None]
    assert line[0, -1] == END
    fit(model, lambda: model.loss(line, len(begin)), Budget(150), learning_rate=1e-2)
    assert model.write(x0, goal) == [plan]
    whole, _ = model(line)
    first, cache = model(line[:, :30])
    second, _ = model(line[:, 30:31], cache)
    torch.testing.assert_close(torch.cat([first, second], 1), whole[:, :31])


def test_initial_states_and_components_are_what_linear_algebra_says():
    H, L = np.array([3.0, 0.0, 4.0]), np.array([0.0, 2.0, 2.0])
    found = latent_analysis.initial_states(H, L)
    assert (found['H_init norm'], found['L_init norm']) == pytest.approx((5.0, np.sqrt(8)))
    assert found['cosine'] == pytest.approx(8 / (5 * np.sqrt(8)))
    assert np.cos(np.radians(found['angle'])) == pytest.approx(found['cosine'])
    z = np.random.default_rng(0).standard_normal((500, 3)) * [3.0, 1.0, 0.01] + 7.0
    eigenvalues = np.sort(np.linalg.eigvalsh(np.cov(z.T)))[::-1]
    np.testing.assert_allclose(
        latent_analysis.pca(z)['shares'], eigenvalues / eigenvalues.sum(), rtol=1e-9
    )
    assert latent_analysis.pca(z)['dimensions'] == 2
    assert latent_analysis.pca(np.eye(4) - 0.25)['participation'] == pytest.approx(3)


def test_a_probe_finds_what_is_linear_and_nothing_else():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((400, 5))
    assert latent_analysis.probe(z, z @ rng.standard_normal((5, 2)) + 3) > 0.999
    assert latent_analysis.probe(z, rng.standard_normal((400, 1))) < 0.1


def test_latents_are_those_that_a_hook_sees_and_inner_updates_those_of_the_model():
    model, _ = load_model('double_integrator')
    problems = Problems.fresh(SYSTEM, 4)
    given, seen = [], []
    reasoning = model.recursive_reasoning
    reasoning.register_forward_pre_hook(lambda module, inputs: given.append(inputs))
    reasoning.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        history, _ = hierarchy._history(model, problems, 2)
        for latents, output in zip(history[1:], seen, strict=True):
            torch.testing.assert_close(latents, output)
        count = reasoning.L_cycles
        changes = latent_analysis.inner_changes(reasoning, *given[0], count=count)
    (_, before), (_, after) = given[0][0], seen[0]
    assert len(changes) == count
    if count == 1:
        expected = ((after - before).norm(dim=-1) / after.norm(dim=-1)).mean()
        assert changes[0] == pytest.approx(float(expected), rel=1e-5)


def test_the_oracle_is_converged_mpc_where_nothing_is_hidden():
    controller = Controller.load('van_der_pol')
    system = controller.system
    x0, goal = (a[0] for a in fresh_problems(system, 1))
    flights = [
        fly(planner, system, PerturbedPlant(system), x0, goal, 10).cost
        for planner in (
            OracleMpc(system, PerturbedPlant(system)),
            tick_planners(controller)[CONVERGED](),
        )
    ]
    assert flights[0] == pytest.approx(flights[1], rel=1e-9)


def test_the_oracle_predicts_the_plant_and_the_cost_of_its_commands():
    system = SYSTEMS['van_der_pol']
    plant = PerturbedPlant.with_error(system, 0.2)
    x0, goal = (a[0] for a in fresh_problems(system, 1))
    plan = OracleMpc(system, plant)(x0, goal, None)
    states = [x0]
    for u in plan.controls:
        states.append(plant.step(states[-1], u))
    np.testing.assert_allclose(plan.states, states, atol=1e-9)
    assert plan.cost == pytest.approx(
        trajectory_cost(system, np.array(states), plan.controls, goal), rel=1e-9
    )
    assert (np.abs(plan.controls) <= system.u_max + 1e-9).all()
