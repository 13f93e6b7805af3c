"""`trc benchmark`: what is timed, in which order, and what is written down; never how fast."""

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from trc_core import get_system
from trc_core.checkpoint import load_checkpoint
from trc_core.evaluation.problems import fresh_problems
from trc_core.lab.benchmark import command, environment, latency, process, scaling
from trc_core.lab.benchmark.bars import bars
from trc_core.lab.benchmark.baselines import Ipopt, baselines
from trc_core.lab.benchmark.command import SECTIONS, main
from trc_core.lab.benchmark.floor import bytes_read
from trc_core.lab.benchmark.interleaved import (
    InterleavedTiming,
    TimedPlanner,
    percentiles,
    schedule,
)
from trc_core.lab.benchmark.options import Options
from trc_core.lab.benchmark.planners import available
from trc_core.lab.benchmark.report import report, winners
from trc_core.numerics.plan import Plan
from trc_core.planner.controller import Controller
from trc_core.planner.network import network_of
from trc_core.solvers import lqr, nlp
from trc_core.solvers.receding_horizon import shifted
from trc_core.solvers.replay import replay

TIMED = 'latency,ratio,tail,scaling,throughput,soak'


@pytest.fixture(scope='module')
def quick_run(tmp_path_factory):
    """The folder and the figures of a quick run on one system."""
    pytest.importorskip('torch')
    pytest.importorskip('matplotlib')
    folder = tmp_path_factory.mktemp('benchmark')
    flags = ['--quick', '--systems', 'double_integrator', '--backends', 'numba,torch']
    main([*flags, '--soak', '200', '--sections', TIMED, '--output', str(folder)])
    return folder, json.loads((folder / 'benchmark.json').read_text())


def test_a_quick_run_writes_a_page_plots_and_every_figure(quick_run):
    folder, results = quick_run
    page = (folder / 'benchmark.md').read_text()
    for name in ('benchmark_latency.svg', 'benchmark_scaling.svg'):
        assert f'![{name}]({name})' in page
        assert 1_000 < (folder / name).stat().st_size < 200_000
    for section in TIMED.split(','):
        assert results[section], section
    headings = ('Bars', 'Where a baseline wins', 'Latency and cost', 'Against PyTorch eager')
    more = ('Alone', 'Throughput', 'Cycles', 'Horizon', 'Soak')
    for heading in headings + more:
        assert f'\n## {heading}\n' in page
    for label in results['latency']['double_integrator']['figures']:
        assert label in page


def test_the_page_says_where_it_was_measured(quick_run):
    folder, results = quick_run
    page = (folder / 'benchmark.md').read_text()
    for name in ('CPU', 'cores', 'load before', 'load after', 'scheduling', 'pinned to', 'numba'):
        assert f'| {name} | {results["environment"][name]} |' in page
    assert '--quick --systems double_integrator' in page.splitlines()[2]


def test_nobody_beats_the_optimum_and_the_controller_meets_it(quick_run):
    for section in ('latency', 'ratio'):
        for label, figures in quick_run[1][section]['double_integrator']['figures'].items():
            for task in ('cold', 'warm'):
                if figures[task]['count']:
                    assert figures[task]['ratio'] >= 1 - 1e-6, (label, task)
                if label.startswith('trc') and figures[task]['count']:
                    assert figures[task]['ratio_max'] <= 1.001, (label, task)


def test_eager_and_compiled_do_the_same_work(quick_run):
    figures = quick_run[1]['ratio']['double_integrator']['figures']
    assert len(figures) == 3
    costs = [figure['cold']['ratio'] for figure in figures.values()]
    np.testing.assert_allclose(costs, costs[0], rtol=1e-4)
    assert {figure['cycles'] for figure in figures.values()} == {3.0}
    assert figures['trc numba']['times'] == 1.0


def test_planners_take_turns(quick_run):
    calls = quick_run[1]['latency']['double_integrator']['first calls']
    labels = quick_run[1]['latency']['double_integrator']['figures']
    assert {label for label, _ in calls} <= set(labels)
    first = [label for label, task in calls if task == 'cold']
    assert len(set(first)) > len(labels) / 2
    assert not any(a == b for a, b in itertools.pairwise(calls))


def test_one_compiled_specialisation_serves_every_horizon(quick_run):
    measured = quick_run[1]['scaling']
    assert set(measured['by horizon']) == {'T = 15', 'T = 50'}
    assert measured['compiled'] == 1
    assert {row['cycles'] for row in measured['by horizon'].values()} == {3.0}
    cycles = {label: row['cycles'] for label, row in measured['by cycles'].items()}
    assert cycles == {'K = 1': 1.0, 'K = 3': 3.0, 'K = 10': 10.0}


def test_the_first_plan_of_a_process_needs_no_training_libraries(tmp_path):
    flags = ['--quick', '--systems', 'double_integrator', '--backends', 'numba']
    main([*flags, '--sections', 'start', '--name', 'first', '--output', str(tmp_path)])
    row = json.loads((tmp_path / 'first.json').read_text())['start']['numba']
    assert row['heavy modules'] == []
    assert 0 < row['import'] <= row['first plan'] <= row['slowest']
    assert '\n## Start and memory\n' in (tmp_path / 'first.md').read_text()


def test_a_schedule_gives_everybody_his_share_evenly_and_in_random_order():
    table = schedule({'fast': 1000, 'slow': 10, 'other': 1000}, 1000)
    assert len(table) == 1000
    rounds = [r for r, present in enumerate(table) if 'slow' in present]
    assert len(rounds) == 10
    assert set(np.diff(rounds)) == {100}
    firsts = [present[0] for present in table]
    assert 400 < firsts.count('fast') < 600
    assert all(sorted(set(present)) == sorted(present) for present in table)
    assert table == schedule({'fast': 1000, 'slow': 10, 'other': 1000}, 1000)


def test_percentiles_are_those_of_a_known_sample_in_microseconds():
    samples = np.random.default_rng(0).permutation(np.arange(1, 1002)) * 1000
    assert percentiles(samples) == pytest.approx(
        {
            'count': 1001,
            'p50': 501.0,
            'p90': 901.0,
            'p99': 991.0,
            'p99.9': 1000.0,
            'mean': 501.0,
            'max': 1001.0,
        }
    )


@pytest.mark.parametrize(
    ('count', 'missing'), [(0, {'p50', 'p99'}), (99, {'p99', 'p99.9'}), (999, {'p99.9'})]
)
def test_percentiles_that_so_few_samples_cannot_tell_are_left_out(count, missing):
    assert not missing & percentiles(np.ones(count)).keys()
    assert 'p99.9' in percentiles(np.ones(1000))


def test_every_baseline_finds_the_optimum_cold_and_warm():
    system = get_system('double_integrator')
    x0, goal = fresh_problems(system, 5)
    optimum = np.array([nlp.solve(system, a, b).cost for a, b in zip(x0, goal, strict=True)])
    planners, absent = available(baselines(system))
    assert all(why.startswith('not installed: pip install ') for why in absent.values())
    timing = InterleavedTiming(system, planners, x0, goal, optimum)
    timing.run(rounds=5, seconds=1.0, least=5)
    for label, figures in timing.figures().items():
        assert figures['cold']['ratio_max'] == pytest.approx(1.0, abs=1e-4), label
        assert figures['warm']['ratio_max'] == pytest.approx(1.0, abs=1e-4), label
        for i, plan in timing.records[label].next_plans.items():
            second = timing.records[label].plans[i].states[1]
            np.testing.assert_allclose(plan.states[0], second, rtol=0, atol=1e-12)


def test_a_warm_ipopt_needs_hardly_an_iteration():
    system = get_system('van_der_pol')
    x0, goal = fresh_problems(system, 3)
    solver = Ipopt(system)
    for a, b in zip(x0, goal, strict=True):
        controls = solver(a, b, None).clip(system.u_min, system.u_max)
        cold = Plan(controls, *replay(system, a, b, controls), 'nlp')
        assert solver.cold.stats()['iter_count'] > 3
        solver(cold.states[1].copy(), b, cold)
        assert solver.warm.stats()['iter_count'] <= 2


def test_a_shifted_plan_goes_on_where_the_plan_was():
    system = get_system('van_der_pol')
    plan = lqr.solve(system, [1.0, 0.5], [0.0, 0.0])
    later = shifted(system, plan)
    np.testing.assert_array_equal(later.states[:-1], plan.states[1:])
    np.testing.assert_array_equal(later.controls[:-1], plan.controls[1:])
    rest = system.step(plan.states[-1], system.u_trim)
    np.testing.assert_array_equal(later.states[-1], rest)


def test_a_worse_plan_scores_its_true_ratio_cold_and_warm():
    system = get_system('van_der_pol')
    x0, goal = fresh_problems(system, 3)
    optimum = np.array([nlp.solve(system, a, b).cost for a, b in zip(x0, goal, strict=True)])
    clipped = TimedPlanner('lqr', lambda x, g, _: lqr.solve(system, x, g))
    timing = InterleavedTiming(system, [clipped], x0, goal, optimum)
    timing.run(rounds=3, seconds=1.0, least=3)
    figures, record = timing.figures()['lqr'], timing.records['lqr']
    costs = [lqr.solve(system, a, b).cost for a, b in zip(x0, goal, strict=True)]
    assert figures['cold']['ratio'] == pytest.approx(np.mean(costs / optimum), rel=1e-9)
    after = [nlp.solve(system, record.plans[i].states[1], goal[i]).cost for i in range(3)]
    warm = [record.next_plans[i].cost / after[i] for i in range(3)]
    assert max(warm) > 1.0001
    assert figures['warm']['ratio'] == pytest.approx(np.mean(warm), rel=1e-6)


def test_who_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'osqp', None)
    monkeypatch.setitem(sys.modules, 'do_mpc', None)
    _, absent = available(baselines(get_system('double_integrator')))
    assert absent['OSQP, sparse'] == 'not installed: pip install osqp'
    assert absent['do-mpc (IPOPT)'] == 'not installed: pip install do-mpc'
    page = report(
        {
            'command': 'trc benchmark',
            'environment': {},
            'latency': {'double_integrator': {'absent': absent}},
        }
    )
    assert '- OSQP, sparse: not installed: pip install osqp' in page


def test_the_controller_is_timed_without_pytorch_and_the_baselines(tmp_path):
    """In a process that cannot import them."""
    banned = ('torch', 'onnxruntime', 'osqp', 'do_mpc', 'daqp', 'casadi', 'matplotlib', 'sympy')
    flags = ['--quick', '--systems', 'double_integrator', '--sections', 'latency,tail,scaling']
    script = (
        f'import sys\nfor name in {banned}: sys.modules[name] = None\n'
        f'from trc_core.cli import main\n'
        f"main(['benchmark', *{flags}, '--backends', 'numba,torch,onnx', "
        f"'--output', '{tmp_path}'])"
    )
    subprocess.run([sys.executable, '-c', script], check=True, capture_output=True)
    results = json.loads((tmp_path / 'benchmark.json').read_text())
    found = results['latency']['double_integrator']
    assert {'trc torch', 'trc onnx', 'OSQP, sparse', 'CasADi/IPOPT, tuned'} <= set(found['absent'])
    assert found['figures']['trc numba']['cold']['ratio'] == pytest.approx(1.0, abs=1e-3)
    assert 'not installed: pip install torch' in (tmp_path / 'benchmark.md').read_text()


def test_without_casadi_the_optimum_is_that_of_converged_ilqr(monkeypatch):
    system = get_system('van_der_pol')
    x0, _, known = latency.problems(system, 4)

    def missing(*_):
        raise ModuleNotFoundError(name='casadi')

    monkeypatch.setattr(latency, 'reference_optima', missing)
    again = latency.problems(system, 4)
    np.testing.assert_array_equal(again[0], x0)
    np.testing.assert_allclose(again[2], known, rtol=1e-6)


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        ('--systems vdp', "unknown system 'vdp'; choose from ['arm', 'bicycle_circles'"),
        ('--backends cuda', "unknown backend 'cuda'; choose from ['numba'"),
        ('--sections speed', "unknown section 'speed'; choose from ['constraints', 'floor'"),
        ('--sections ,', 'no section given'),
        ('--core 4096', 'core 4096 is not available; choose from [0'),
        ('--repetitions 0', 'repetitions must be at least 1'),
        ('--soak -1', 'soak must not be negative'),
    ],
)
def test_flags_that_make_no_sense_are_one_readable_line(tmp_path, capsys, flags, message):
    with pytest.raises(SystemExit, match='1'):
        main([*flags.split(), '--output', str(tmp_path)])
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_ctrl_c_keeps_what_was_measured(tmp_path, monkeypatch):
    def interrupt(options, results):
        results['double_integrator'] = {'a plan': percentiles([1000, 2000, 3000])}
        raise KeyboardInterrupt

    monkeypatch.setitem(SECTIONS, 'tail', interrupt)
    flags = ['--quick', '--systems', 'double_integrator', '--sections', 'tail,floor']
    with pytest.raises(SystemExit, match='130'):
        main([*flags, '--output', str(tmp_path)])
    results = json.loads((tmp_path / 'benchmark.json').read_text())
    assert results['interrupted'] == 'tail'
    assert 'floor' not in results
    assert results['tail']['double_integrator']['a plan']['p50'] == 2.0
    page = (tmp_path / 'benchmark.md').read_text()
    assert 'Interrupted in `tail`' in page
    assert '| double_integrator | a plan | 2 |' in page


def test_ctrl_c_in_a_race_keeps_the_rounds_before():
    system, calls = get_system('double_integrator'), []

    def plan(x, goal, _):
        calls.append(x)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return lqr.solve(system, x, goal)

    x0, goal = fresh_problems(system, 4)
    timing = InterleavedTiming(
        system, [TimedPlanner('lqr', plan, warm=False)], x0, goal, np.ones(4)
    )
    with pytest.raises(KeyboardInterrupt):
        timing.run(rounds=20, seconds=1.0, least=20)
    count = timing.figures()['lqr']['cold']['count']
    assert count == len(timing.order)
    assert 3 <= count <= 5  # behind two to four untimed calls


def test_one_who_fails_at_once_falls_out_and_is_named():
    system = get_system('double_integrator')

    def fail(x, goal, _):
        raise RuntimeError('no licence\nfor this machine')

    good = TimedPlanner('good', lambda x, g, _: lqr.solve(system, x, g))
    timing = InterleavedTiming(
        system, [good, TimedPlanner('bad', fail)], *fresh_problems(system, 3), np.ones(3)
    )
    timing.run(rounds=4, seconds=1.0, least=4)
    assert list(timing.figures()) == ['good']
    assert timing.absent == {'bad': 'cannot start: RuntimeError: no licence'}


def figure(p50, ratio, baseline):
    return {
        'cold': {'count': 9, 'p50': p50, 'ratio': ratio},
        'warm': {'count': 0},
        'baseline': baseline,
    }


def test_a_baseline_wins_where_it_is_faster_at_no_higher_cost():
    figures = {
        'trc numba': figure(100.0, 1.00001, False),
        'trc numba, 1 cycle': figure(10.0, 1.1, False),
        'fast': figure(50.0, 1.00001, True),
        'fast at a higher cost': figure(20.0, 1.01, True),
        'cheap but slow': figure(500.0, 1.0, True),
    }
    results = {'latency': {'pendulum': {'figures': figures}}}
    (win,) = winners(results)
    assert (win.system, win.task, win.baseline, win.label) == (
        'pendulum',
        'cold',
        'fast',
        'trc numba',
    )


def test_bars_are_judged_by_the_figures():
    results = {
        'ratio': {
            'van_der_pol': {'figures': {'PyTorch eager, network and physics': {'times': 99.0}}}
        },
        'floor': {'van_der_pol': {'times': 2.9}},
        'start': {'numba': {'first plan': 1.0, 'peak MB': 300.0}},
        'throughput': {'double_integrator': {'numba, 2 threads, early exit': {'1024': 2e4}}},
    }
    verdicts = [(bar.what.split(':')[0], bar.met) for bar in bars(results)]
    assert verdicts == [
        ('van_der_pol', False),
        ('van_der_pol', True),
        ('process start to first plan', True),
        ('memory of that process', False),
        ('double_integrator', True),
    ]
    assert bars({}) == []


def test_bytes_of_a_cycle_count_every_read_of_every_weight():
    checkpoint = load_checkpoint('double_integrator')
    size = {name: tensor.size for name, tensor in checkpoint.tensors.items()}

    def weights(part):
        return sum(n for name, n in size.items() if name.endswith('weight') and part in name)

    once = weights('control_embedding') + weights('error_encoder') + weights('control_decoder')
    level = weights('mlp.input') + weights('mlp.output')
    passes = checkpoint.model['L_cycles'] + 1
    assert bytes_read(network_of(checkpoint)) == 4 * (once + passes * level)


def test_the_memory_of_a_process_is_its_own():
    ballast = np.ones(40_000_000)  # 320 MB, which a child must not be charged with
    found = process._start('double_integrator', 'numba')
    assert 20 < found['peak MB'] < 300 < ballast.nbytes / 1e6 < environment.resident_mb()


def test_the_soak_reads_memory_ten_times(quick_run):
    soak = quick_run[1]['soak']
    assert (soak['plans'], len(soak['rss_mb'])) == (200, 10)
    assert soak['rss_mb'][-1] == pytest.approx(soak['before_mb'], rel=0.2)


def test_pinning_ends_with_its_section():
    before = os.sched_getaffinity(0)
    core = min(before)
    with environment.placed(core, fifo=True) as placement:
        assert os.sched_getaffinity(0) == {core}
        assert placement['pinned to'] == f'core {core}'
        assert 'SCHED_FIFO' in placement['scheduling']
    assert os.sched_getaffinity(0) == before
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
    with pytest.raises(ValueError, match='core 4096 is not available'):
        environment.placed(4096, fifo=False).__enter__()


def test_the_options_refuse_what_does_not_exist():
    with pytest.raises(ValueError, match="unknown backend 'jax'"):
        Options(backends=('jax',))


def test_help_names_the_sections(capsys):
    with pytest.raises(SystemExit, match='0'):
        main(['--help'])
    text = ' '.join(capsys.readouterr().out.split())
    for name in command.SECTIONS:
        assert f'{name}: ' in text


@pytest.mark.long
def test_throughput_is_measured_for_every_system_that_is_named(monkeypatch):
    planned = []
    plan_batch = Controller.plan_batch

    def noticed(controller, x, goal, parameters=None, **rest):
        planned.append((len(x), len(parameters['x1'])))
        return plan_batch(controller, x, goal, parameters=parameters, **rest)

    monkeypatch.setattr(Controller, 'plan_batch', noticed)
    monkeypatch.setattr(scaling, 'RUNS', 1)
    results = {}
    scaling.throughput(Options(systems=('bicycle_circles',), batches=(1, 3, 4096)), results)
    for rates in results['bicycle_circles'].values():
        assert list(rates) == ['1', '3'] and min(rates.values()) > 0.0
    assert any(label.endswith('of a CPU second') for label in results['bicycle_circles'])
    assert set(planned) == {(1, 1), (3, 3)}  # every problem with its own circles
