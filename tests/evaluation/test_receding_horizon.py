"""Receding-horizon flights: counted right, and a controller that keeps up with converged MPC."""

from dataclasses import replace

import numpy as np
import pytest

from trc_core import SYSTEMS, Controller
from trc_core.checkpoint import load_checkpoint, save_checkpoint
from trc_core.commands import info
from trc_core.commands.evaluate import main
from trc_core.evaluation import closed_loop
from trc_core.evaluation.closed_loop import CONVERGED, PerturbedPlant, compare, fly
from trc_core.numerics.cost import trajectory_cost
from trc_core.solvers import ilqr
from trc_core.solvers.receding_horizon import shifted

BARS = {'van_der_pol': 1.0005, 'quadrotor_2d': 1.0005, 'cartpole': 1.001}


def problems(name, count=1, seed=8_000_002):
    return SYSTEMS[name].sample(np.random.default_rng(seed), count)


def test_an_open_loop_flight_costs_what_the_plan_says():
    system = SYSTEMS['van_der_pol']
    x0, goal = (a[0] for a in problems('van_der_pol'))
    plan = ilqr.solve(system, x0, goal)

    def planner(x, goal, previous):
        return plan if previous is None else shifted(system, previous)

    flown = fly(planner, system, PerturbedPlant(system), x0, goal, system.horizon)
    assert flown.cost == pytest.approx(plan.cost, rel=1e-9)
    assert flown.cost == pytest.approx(trajectory_cost(system, plan.states, plan.controls, goal))
    assert flown.held and not flown.fallen


def test_a_plant_in_error_has_larger_parameters_and_a_smaller_gain():
    system = SYSTEMS['cartpole']
    plant = PerturbedPlant.with_error(system, 0.05)
    x, u = np.array([0.1, 0.0, 0.2, 0.0]), np.array([2.0])
    heavier = replace(system, parameters={k: 1.05 * v for k, v in system.parameters.items()})
    np.testing.assert_allclose(plant.step(x, u), heavier.step(x, 0.95 * u), rtol=1e-12)
    other = PerturbedPlant.with_error(system, 0.05, {'pole_mass': 0.2})
    heavier = heavier.with_parameters(pole_mass=0.2)
    np.testing.assert_allclose(other.step(x, u), heavier.step(x, 0.95 * u), rtol=1e-12)
    nominal = PerturbedPlant.with_error(system, 0.0)
    np.testing.assert_allclose(nominal.step(x, u), system.step(x, u))


def test_a_pole_that_nobody_holds_is_not_held():
    system = SYSTEMS['cartpole']
    x0, goal = np.array([0.0, 0.0, 0.2, 0.0]), np.zeros(4)
    idle = replace(ilqr.solve(system, x0, goal), controls=np.zeros((system.horizon, 1)))
    plant = PerturbedPlant(system)
    assert not fly(lambda *_: idle, system, plant, x0, goal, system.horizon).held


@pytest.mark.parametrize('name', BARS)
def test_one_warm_cycle_a_tick_keeps_up_with_converged_mpc(name):
    plant = PerturbedPlant(SYSTEMS[name])
    flown = compare(Controller.load(name), plant, *problems(name, 4), name)
    assert flown.ratios('trc, 1 cycle').mean() <= BARS[name]
    assert flown.ratios('trc').mean() <= BARS[name]
    assert not any(flown.flights['trc'].fallen)
    assert all(flown.flights['trc'].held)
    assert (flown.ratios(CONVERGED) == 1).all()


def test_the_command_prints_a_row_for_every_planner(capsys, monkeypatch):
    monkeypatch.setattr(closed_loop, 'HORIZONS', 0.2)
    monkeypatch.setattr(closed_loop, 'SWEEPS', 5)
    flags = ['--closed_loop', '0.05', '--plant', 'mu=1.2', '--states', '2']
    main(['--checkpoint', 'van_der_pol', *flags])
    printed = capsys.readouterr().out
    assert 'plant off by 5% mu=1.2' in printed
    for label in closed_loop.tick_planners(Controller.load('van_der_pol')):
        assert f'\n{label} ' in printed


def test_flights_are_kept_in_the_checkpoint_as_trc_info_shows_them(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(closed_loop, 'HORIZONS', 0.2)
    monkeypatch.setattr(closed_loop, 'SWEEPS', 5)
    before = {'score': 1.0}
    checkpoint = replace(load_checkpoint('van_der_pol'), metrics=before)
    path = save_checkpoint(tmp_path / 'copy.safetensors', checkpoint)
    main([str(path), '--closed_loop', '0.05', '--states', '2', '--record'])
    printed = capsys.readouterr().out
    metrics = load_checkpoint(path).metrics
    kept = metrics.pop('closed loop, plant off by 5%')
    assert metrics == before
    assert f'{kept["cost over that of converged MPC"]["trc"]["mean"]:.5f}' in printed
    # In a fifth of a horizon nobody arrives, and the file says so.
    assert kept['held'] == '0 of 2 flights (trc, learning)'
    info.main([str(path)])
    assert 'held: 0 of 2 flights (trc, learning)' in capsys.readouterr().out


def test_the_command_refuses_what_it_would_ignore(capsys):
    with pytest.raises(SystemExit):
        main(['--closed_loop', '--expert', 'lqr'])
    assert 'goes with --checkpoint' in capsys.readouterr().err
