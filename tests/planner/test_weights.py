"""Networks that read the weights of J, and plan for those at hand without sweeps."""

from dataclasses import replace

import numpy as np
import pytest

from trc_core import SYSTEMS, Controller
from trc_core.problem.weighting import drawn, value_of, with_entries, with_values
from trc_core.solvers import ilqr

PLANT = SYSTEMS['van_der_pol']
RANGES = with_entries(PLANT, dict.fromkeys(('Q', 'R', 'Q_f'), (0.1, 10.0)))


@pytest.fixture(scope='module')
def controller():
    return Controller.load('van_der_pol_weights')


def weights_of(system):
    return {'Q': system.Q, 'R': system.R, 'Q_f': np.diag(system.Q_f)}


def test_a_weight_stands_for_its_diagonal_entries():
    assert list(RANGES) == ['Q[0]', 'Q[1]', 'R[0]', 'Q_f[0]', 'Q_f[1]']
    assert RANGES['Q[1]'] == pytest.approx((0.5, 50.0))
    assert with_entries(PLANT, {'mu': (0.5, 1.5)}) == {'mu': (0.5, 1.5)}
    free = replace(PLANT, Q=[1.0, 0.0], Q_f=None)
    assert list(with_entries(free, {'Q': (0.1, 10.0)})) == ['Q[0]']
    with pytest.raises(ValueError, match='the range of R is one of factors, above 0'):
        with_entries(PLANT, {'R': (0.0, 1.0)})
    other = with_values(PLANT, {'mu': 0.7, 'Q[1]': 9.0})
    np.testing.assert_array_equal(other.Q, [[10.0, 0.0], [0.0, 9.0]])
    with pytest.raises(ValueError, match=r"'van_der_pol' has no weight 'R\[1\]'"):
        with_values(PLANT, {'R[1]': 1.0})
    assert (other.parameters['mu'], value_of(other, 'Q[1]')) == (0.7, 9.0)


def test_plans_are_near_the_optimum_of_the_weights_at_hand(controller):
    rng, ratios = np.random.default_rng(8_000_001), []
    for _ in range(100):
        plant = with_values(PLANT, {name: drawn(name, r, rng) for name, r in RANGES.items()})
        (x,), (goal,) = PLANT.sample(rng, 1)
        plan = controller.plan(x, goal, weights=weights_of(plant))
        assert plan.cycles <= 3 and plan.memory is None and not plan.warnings
        ratios.append(plan.cost / ilqr.solve(plant, x, goal).cost)  # IPOPT takes 3 s a plant
    assert np.mean(ratios) <= 1.0005
    assert np.min(ratios) >= 1 - 1e-6


def test_a_plan_is_that_of_a_controller_of_such_a_plant(controller):
    plant = replace(PLANT, Q=[30.0, 1.0], Q_f=[200.0, 40.0])
    alone = Controller(controller.checkpoint.on(plant))
    first = controller.plan([1.5, 0.3], [0.0, 0.0], weights=weights_of(plant))
    np.testing.assert_array_equal(first.controls, alone.plan([1.5, 0.3], [0.0, 0.0]).controls)
    x = first.states[1]
    on = controller.plan(x, [0.0, 0.0], first, weights=weights_of(plant))
    assert on.candidates['previous'] == alone.plan(x, [0.0, 0.0], first).candidates['previous']
    fleet = controller.plan_batch([[1.5, 0.3]] * 2, [0.0, 0.0], weights=weights_of(plant))
    np.testing.assert_array_equal(fleet.controls[1], first.controls)
    own = controller.plan([1.5, 0.3], [0.0, 0.0])
    assert np.abs(own.controls - first.controls).max() > 0.1  # and its own weights are back


def test_what_a_network_does_not_read_is_left_to_sweeps(controller):
    tilted = {'Q': [[10.0, 3.0], [3.0, 5.0]]}
    plan = controller.plan([1.5, 0.3], [0.0, 0.0], weights=tilted)
    assert plan.memory is not None  # of sweeps
    narrow = Controller.load('van_der_pol').plan([1.5, 0.3], [0.0, 0.0], weights={'R': [1.0]})
    assert narrow.memory is not None and not narrow.warnings


def test_weights_outside_the_trained_ranges_are_told_of(controller):
    plan = controller.plan([1.5, 0.3], [0.0, 0.0], weights={'R': [1.0], 'Q': [500.0, 5.0]})
    assert plan.warnings == ("weight 'Q[0]' is 500, outside the trained range 1 to 100",)
    assert np.isfinite(plan.controls).all()
