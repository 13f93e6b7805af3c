"""Control-limited iLQR, against IPOPT and against enumerated box QPs."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trc_core.compile.binding import readable_plant_of
from trc_core.numerics.box_qp import box_qp
from trc_core.numerics.cost import constant_reference
from trc_core.numerics.ilqr import improve, new_memory, replay
from trc_core.numerics.plan import Plan
from trc_core.numerics.rollout import Trajectory
from trc_core.solvers import ilqr, lqr, nlp
from trc_core.solvers.initial_guess import initial_guess
from trc_core.systems import SYSTEMS
from trc_core.systems.double_integrator import multi_axis

# Two controls that fight over effort and bounds that bite: the box QP has to choose.
COUPLED = replace(
    multi_axis(2),
    name='coupled',
    R=np.array([[0.1, 0.08], [0.08, 0.1]]),
    u_min=[-1.0, -1.2],
    u_max=[1.0, 1.5],
)


PLANTS = [*SYSTEMS.values(), COUPLED]
EASY = [SYSTEMS[n] for n in ('double_integrator', 'van_der_pol', 'quadrotor_2d')]
PENDULUM = SYSTEMS['pendulum']
every_plant = pytest.mark.parametrize('system', PLANTS, ids=lambda s: s.name)


def samples(system, n):
    return system.sample(np.random.default_rng(8), n)


@pytest.mark.parametrize('system', [*EASY, COUPLED], ids=lambda s: s.name)
def test_converged_ilqr_is_the_optimum_of_ipopt(system):
    x0, goal = samples(system, 12)
    plans = ilqr.solve_batch(system, x0, goal)
    optima = [nlp.solve(system, a, b).cost for a, b in zip(x0, goal, strict=True)]
    assert np.all(plans.converged)
    np.testing.assert_allclose(plans.cost, optima, rtol=1e-6)


@every_plant
def test_more_sweeps_never_hurt(system):
    x0, goal = samples(system, 30)
    costs = np.array([ilqr.solve_batch(system, x0, goal, n).cost for n in (0, 1, 2, 3, 10)])
    assert np.all(np.diff(costs, axis=0) <= 0)
    clipped_lqr = [lqr.solve(system, a, b).cost for a, b in zip(x0, goal, strict=True)]
    np.testing.assert_allclose(costs[0], clipped_lqr, rtol=1e-9)


def test_sweeps_from_the_lqr_are_the_known_baselines():
    # Mean J/J* after 1, 2, 3 sweeps; the bounds are about 1.6 times what 400 states gave.
    system = SYSTEMS['van_der_pol']
    x0, goal = samples(system, 100)
    J = [ilqr.solve_batch(system, x0, goal, sweeps).cost for sweeps in (0, 1, 2, 3, 50)]
    excess = np.array([np.mean(cost / J[-1]) - 1 for cost in J[:-1]])
    assert np.all(excess < [0.004, 0.001, 0.0004, 0.00003])
    assert excess[0] > 0.001


@every_plant
def test_plans_are_feasible(system):
    x0, goal = samples(system, 10)
    plans = ilqr.solve_batch(system, x0, goal, sweeps=4)
    assert np.all(plans.controls >= system.u_min) and np.all(plans.controls <= system.u_max)
    np.testing.assert_array_equal(plans.states[:, 0], x0)
    for states, controls in zip(plans.states, plans.controls, strict=True):
        for t in range(system.horizon):
            x_next = system.step(states[t], controls[t])
            np.testing.assert_allclose(states[t + 1], x_next, atol=1e-11)


@every_plant
def test_a_batch_is_a_loop(system):
    x0, goal = samples(system, 4)
    batch = ilqr.solve_batch(system, x0, goal, sweeps=3)
    for b in range(4):
        plan = ilqr.solve(system, x0[b], goal[b], sweeps=3)
        assert (plan.cost, plan.cycles) == (pytest.approx(batch.cost[b]), batch.cycles[b])
        assert plan.converged == batch.converged[b]
        np.testing.assert_allclose(plan.controls, batch.controls[b], atol=1e-9)


@every_plant
def test_compiled_sweeps_equal_plain_python(system):
    (x0,), (goal,) = samples(system, 1)
    states, controls, _ = initial_guess(system, x0, goal)
    r = constant_reference(goal, system.horizon)
    plant, trajectory = readable_plant_of(system), Trajectory(states, controls)
    memory = new_memory(plant, *controls.shape, system.n_x)
    J, spent, _ = improve(plant, r, 2, trajectory, replay(plant, r, trajectory), memory, 0.0)
    plan = ilqr.solve(system, x0, goal, sweeps=2)
    assert (plan.cost, plan.cycles) == (pytest.approx(J, rel=1e-10), spent)
    np.testing.assert_allclose(plan.controls, controls, atol=1e-8)


@every_plant
def test_a_warm_start_at_the_optimum_stays_there(system):
    (x0,), (goal,) = samples(system, 1)
    optimum = ilqr.solve(system, x0, goal)
    again = ilqr.solve(system, x0, goal, warm_start=optimum)
    assert again.converged and again.cycles <= 10
    assert optimum.cost * (1 - 1e-6) <= again.cost <= optimum.cost * (1 + 1e-12)


def test_a_warm_start_of_the_wrong_shape_is_named():
    short = ilqr.solve(replace(SYSTEMS['van_der_pol'], horizon=10), [1.0, 0.0], [0.0, 0.0])
    with pytest.raises(ValueError, match=r'\(\(11, 2\), \(10, 1\)\), expected'):
        ilqr.solve(SYSTEMS['van_der_pol'], [1.0, 0.0], [0.0, 0.0], warm_start=short)


def test_running_out_of_sweeps_is_reported():
    plan = ilqr.solve(SYSTEMS['van_der_pol'], [2.0, 2.0], [0.0, 0.0], sweeps=1)
    assert not plan.converged and plan.cycles == 1


def test_swing_ups_end_in_a_local_optimum():
    x0, goal = samples(PENDULUM, 30)
    plans = ilqr.solve_batch(PENDULUM, x0, goal, sweeps=400)
    assert np.all(plans.converged) and plans.cycles.max() > 20
    for b in range(30):
        optimum = Plan(plans.controls[b], plans.states[b], plans.cost[b], 'ilqr')
        refined = nlp.solve(PENDULUM, x0[b], goal[b], warm_start=optimum)
        # IPOPT from there finds nothing better; it may leave for another basin and do worse.
        assert plans.cost[b] <= refined.cost * (1 + 1e-4)


def best_by_enumeration(H, g, lower, upper):
    """Minimum of the box QP over all 3^n choices of active bounds."""
    best = np.inf
    for sides in itertools.product((-1, 0, 1), repeat=len(g)):
        held = np.array(sides) != 0
        d = np.where(np.array(sides) < 0, lower, upper)
        if not held.all():
            free = ~held
            rhs = -g[free] - H[np.ix_(free, held)] @ d[held]
            d[free] = np.linalg.solve(H[np.ix_(free, free)], rhs)
        if np.all(d >= lower - 1e-12) and np.all(d <= upper + 1e-12):
            best = min(best, 0.5 * d @ H @ d + g @ d)
    return best


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 4), st.integers(0, 2**32 - 1), st.floats(0.01, 10.0))
@example(3, 2817, 2.9375)  # a step that ended a rounding short of its bound was never undone
def test_the_box_qp_finds_the_minimum_of_all_active_sets(n, seed, width):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, n))
    H, g = root @ root.T + 0.05 * np.eye(n), rng.normal(size=n)
    lower, upper = -width * rng.uniform(size=n), width * rng.uniform(size=n)
    d, free, L = np.zeros(n), np.empty(n, dtype=bool), np.zeros((n, n))
    box_qp(H, g, lower, upper, d, free, L, np.empty((3, n)))
    assert np.all(d >= lower) and np.all(d <= upper)
    value = 0.5 * d @ H @ d + g @ d
    assert value == pytest.approx(best_by_enumeration(H, g, lower, upper), rel=1e-8, abs=1e-10)
    masked = np.where(np.outer(free, free), H, np.eye(n))
    np.testing.assert_allclose(L @ L.T, masked, atol=1e-10)
    np.testing.assert_allclose((H @ d + g)[free], 0.0, atol=1e-6)
