"""Constraints, residuals, angles and references in the kernels, against truths found elsewhere."""

from dataclasses import replace

import numpy as np
import pytest

from trc_core import System
from trc_core.compile.binding import plant_of, readable_plant_of
from trc_core.compile.plant import with_parameters
from trc_core.numerics.batch import empty_trajectory, improve_rows, roll_out
from trc_core.numerics.box_qp import box_qp
from trc_core.numerics.cost import (
    constant_reference,
    constraint_values,
    difference,
    trajectory_cost,
    violations,
)
from trc_core.numerics.ilqr import improve, new_memory, replay
from trc_core.numerics.plan import Plan
from trc_core.numerics.rollout import Law, Trajectory, gradient, plain, rollout
from trc_core.systems import SYSTEMS
from trc_core.systems.bicycle_circles import bicycle_circles, draw

MASS = SYSTEMS['double_integrator']
PENDULUM = replace(SYSTEMS['pendulum'], angles=('angle',))


def improved(system, x0, goal, sweeps, start=None):
    """The plan after sweeps from a start, or from u_trim held."""
    plans = empty_trajectory(system, 1)
    plans.x[:, 0], plans.u[:] = x0, system.u_trim if start is None else start
    r = constant_reference(np.asarray(goal, dtype=np.float64)[None], system.horizon)
    merit = float(improve_rows(system, r, sweeps, plans).J[0])
    cost = float(trajectory_cost(system, plans.x[0], plans.u[0], r[0]))
    found = Plan(plans.u[0], plans.x[0], cost, 'ilqr', merit=merit)
    return replace(found, violation=float(violations(system, found, r[0]).max(initial=0.0)))


def random_plan(system, seed=0):
    rng = np.random.default_rng(seed)
    u = rng.uniform(system.u_min, system.u_max, (system.horizon, system.n_u))
    (x0,), (goal,) = system.sample(rng, 1)
    states, controls, merit = roll_out(
        system,
        plain(np.zeros((system.horizon, system.n_u, system.n_x))),
        u - system.u_trim,
        x0,
        constant_reference(goal, system.horizon),
    )
    return states, controls, goal, merit


def walled(x, goal):
    return {'wall': x[0] - 1.0 - 0.0 * goal[0]}


def test_a_limit_of_a_state_without_weight_is_kept_however_much_lies_beyond_it():
    """A cart that runs as far as its fuel lasts: the price of fuel is nothing but its limit."""
    cart = System(
        name='thirsty_cart',
        dynamics=lambda x, u: [u[0], -u[0]],
        state_names=('place', 'fuel'),
        state_units=('m', 'l'),
        control_names=('speed',),
        control_units=('m/s',),
        joints=(),
        dt=0.1,
        horizon=20,
        u_min=[0.0],
        u_max=[10.0],
        Q=[0.0, 0.0],
        Q_f=[1.0, 0.0],
        R=[1e-9],
        x_min=[None, 0.0],
        x0_box=[[0.0, 0.5], [0.0, 2.0]],
        goal_box=[[10.0, 0.0], [10.0, 0.0]],
    )
    for fuel in (0.5, 2.0):
        plan = improved(cart, [0.0, fuel], [10.0, 0.0], 60)
        assert plan.states[-1, 0] == pytest.approx(fuel, abs=2e-3)
        assert plan.violation < 1e-3
        assert plan.cost == pytest.approx((10.0 - fuel) ** 2, rel=1e-3)


def test_a_speed_limit_is_flown_to_and_kept():
    limited = replace(MASS, x_max=[None, 0.5], u_min=[-100.0], u_max=[100.0])
    plan = improved(limited, [-1.5, 0.0], [1.0, 0.0], 200)
    free = improved(replace(limited, x_max=None), [-1.5, 0.0], [1.0, 0.0], 200)
    assert free.states[:, 1].max() > 1.0
    assert plan.states[:, 1].max() == pytest.approx(0.5, abs=1e-4)
    assert plan.violation < 1e-4 and plan.merit == pytest.approx(plan.cost, rel=1e-3)


def test_a_constraint_may_use_the_control_and_then_holds_from_the_first_step():
    limited = replace(MASS, constraints=lambda x, u: {'power': u[0] * x[1] - 0.2})
    states, controls, goal, _ = random_plan(limited)
    (power,) = constraint_values(limited, states, controls, goal[None])
    np.testing.assert_allclose(power, controls[:, 0] * states[:-1, 1] - 0.2)
    plan = improved(limited, [-1.5, 0.0], [1.0, 0.0], 200)
    assert (plan.controls[:, 0] * plan.states[:-1, 1]).max() < 0.2 + 1e-3


def test_the_merit_of_a_roll_out_is_j_and_what_its_violations_cost():
    for seed in range(3):
        states, controls, goal, merit = random_plan(bicycle_circles, seed)
        J = trajectory_cost(bicycle_circles, states, controls, goal[None])
        beyond = violations(bicycle_circles, Plan(controls, states, 0.0, ''), goal[None]).sum()
        assert beyond > 1.0
        assert merit == pytest.approx(J + 300.0 * beyond, rel=1e-9)


@pytest.mark.parametrize('name', ['bicycle', 'residuals', 'pendulum'])
def test_the_gradient_is_that_of_the_merit(name):
    system = {
        'bicycle': bicycle_circles,
        'residuals': replace(
            MASS,
            residuals=lambda x, u, goal: [np.sin(x[0]) * u[0], x[1] - goal[0]],
            terminal_residuals=lambda x: [x[0] * x[1]],
        ),
        'pendulum': PENDULUM,
    }[name]
    states, controls, goal, _ = random_plan(system, 1)
    T, n_u, n_x = system.horizon, system.n_u, system.n_x
    controls = np.clip(controls, 0.9 * system.u_min, 0.9 * system.u_max)
    plant, r = readable_plant_of(system), constant_reference(goal, T)
    law, found = plain(np.zeros((T, n_u, n_x))), np.empty((T, n_u))
    fast, v = plant_of(system), controls - system.u_trim

    def merit(v):
        return roll_out(system, law, v, states[0], r)[2]

    trajectory = Trajectory(states.copy(), controls.copy())
    rollout(plant, law, v, states[0].copy(), r, trajectory)
    gradient(plant, law, v, trajectory, r, found)
    for t, i in ((0, 0), (T // 3, n_u - 1), (T - 1, 0)):
        step = np.zeros_like(v)
        step[t, i] = 1e-6
        slope = (merit(v + step) - merit(v - step)) / 2e-6
        assert found[t, i] == pytest.approx(slope, rel=1e-4, abs=1e-4)
    assert fast.terms.weight == plant.terms.weight


def test_residuals_cost_what_a_weight_of_the_same_form_costs():
    """|sqrt(3) x0|^2 and |2 u|^2 are diagonals of Q and R; so are their sweeps."""
    with_residuals = replace(
        MASS,
        residuals=lambda x, u, goal: [3**0.5 * (x[0] - goal[0]), 2.0 * u[0]],
        terminal_residuals=lambda x, goal: [5**0.5 * (x[1] - goal[1])],
    )
    Q, Q_f = MASS.Q + np.diag([3.0, 0.0]), MASS.Q_f + np.diag([0.0, 5.0])
    with_weights = replace(MASS, Q=Q, R=MASS.R + 4.0, Q_f=Q_f)
    a, b = (improved(s, [-1.5, 0.3], [1.0, 0.0], 4) for s in (with_residuals, with_weights))
    assert a.cost == pytest.approx(b.cost, rel=1e-12)
    np.testing.assert_allclose(a.controls, b.controls, atol=1e-9)


def test_sweeps_find_the_way_round_circles_as_from_other_multipliers():
    """The optimum satisfies the optimality conditions: no feasible neighbour is cheaper."""
    rng = np.random.default_rng(4)
    x0, goal, parameters = draw(rng)
    system = bicycle_circles.with_parameters(**parameters)
    plan = improved(system, x0, goal, 300)
    assert plan.violation < 1e-3
    assert plan.merit <= 1.0005 * plan.cost
    for _ in range(40):
        u = plan.controls + rng.normal(scale=0.02, size=plan.controls.shape)
        near = improved(system, x0, goal, 0, np.clip(u, system.u_min, system.u_max))
        assert near.merit > plan.merit * (1.0 - 1e-6)


def test_compiled_constrained_sweeps_equal_plain_python():
    x0, goal, parameters = draw(np.random.default_rng(2))
    system = replace(bicycle_circles.with_parameters(**parameters), horizon=12)
    plan = improved(system, x0, goal, 6)
    plant, r = readable_plant_of(system), constant_reference(goal, system.horizon)
    trajectory = Trajectory(np.empty_like(plan.states), np.zeros_like(plan.controls))
    trajectory.x[0] = x0
    memory = new_memory(plant, *plan.controls.shape, system.n_x)
    M, spent, _ = improve(plant, r, 6, trajectory, replay(plant, r, trajectory), memory, 0.0)
    assert (plan.merit, spent) == (pytest.approx(M, rel=1e-8), 6)


def test_units_do_not_change_what_sweeps_find():
    """The same car in millimetres, its weights so that J is the same number."""
    x0, goal, parameters = draw(np.random.default_rng(7))
    metres = replace(  # one weight of violations: all constraints in one unit
        bicycle_circles.with_parameters(**parameters),
        x_min=[None, None, None, -0.5, None],
        x_max=[None, None, None, 2.0, None],
    )
    scale = np.array([1e3, 1e3, 1.0, 1e3, 1.0])

    def dynamics(x, u, **p):
        rates = bicycle_circles.dynamics(
            [a / b for a, b in zip(x, scale, strict=True)], [u[0] / 1e3, u[1]], **p
        )
        return [a * b for a, b in zip(rates, scale, strict=True)]

    def constraints(x, time, **p):
        own = bicycle_circles.constraints([x[0] / 1e3, x[1] / 1e3], time, **p)
        return {name: 1e3 * value for name, value in own.items()}

    millimetres = replace(
        metres,
        dynamics=dynamics,
        constraints=constraints,
        laws={},
        violation_weight=0.3,
        u_min=metres.u_min * [1e3, 1.0],
        u_max=metres.u_max * [1e3, 1.0],
        x_min=metres.x_min * scale,
        x_max=metres.x_max * scale,
        Q=metres.Q / np.outer(scale, scale),
        Q_f=metres.Q_f / np.outer(scale, scale),
        R=metres.R / np.outer([1e3, 1.0], [1e3, 1.0]),
        x0_box=np.array([metres.x0_centre - metres.x0_box, metres.x0_centre + metres.x0_box])
        * scale,
        x0_centre=None,
        goal_box=metres.goal_box * scale,
        goal_centre=metres.goal_centre * scale,
        goal_tolerance=None,
    )
    a = improved(metres, x0, goal, 30)
    b = improved(millimetres, x0 * scale, goal * scale, 30)
    assert b.cost == pytest.approx(a.cost, rel=0.02)
    assert b.violation == pytest.approx(1e3 * a.violation, abs=10.0)


def test_time_moves_a_constraint():
    moving = replace(MASS, constraints=lambda x, time: {'door': x[0] - 1.0 + 0.2 * time})
    states, controls, goal, _ = random_plan(moving)
    (door,) = constraint_values(moving, states, controls, goal[None])
    times = MASS.dt * np.arange(1, MASS.horizon + 1)
    np.testing.assert_allclose(door, states[1:, 0] - 1.0 + 0.2 * times)


def test_angles_are_the_same_after_a_turn():
    x = np.array([[3.0, 0.2], [-3.0, 0.2]])
    np.testing.assert_allclose(
        difference(PENDULUM, x, np.array([-3.0, 0.0])),
        [[6.0 - 2 * np.pi, 0.2], [0.0, 0.2]],
        atol=1e-12,
    )
    turn = np.array([2 * np.pi, 0.0])
    plans = [improved(PENDULUM, [3.0, 0.0] + k * turn, np.zeros(2), 20) for k in (-1, 0, 2)]
    for plan in plans[1:]:
        assert plan.cost == pytest.approx(plans[0].cost, rel=1e-9)


def test_a_plant_that_moves_into_nan_is_an_infinite_merit_and_never_adopted():
    box = {'x0_box': [0.6, 1.0], 'goal_box': [0.6, 0.0]}
    system = replace(MASS, constraints=lambda x: {'root': -np.sqrt(1.0 - x[0])}, **box)
    plan = improved(system, [0.5, 0.0], [0.0, 0.0], 20)
    assert np.isfinite(plan.merit) and plan.states[:, 0].max() < 1.0


def test_the_quadratic_program_of_two_controls_is_solved_exactly():
    rng = np.random.default_rng(0)
    for _ in range(300):
        root = rng.normal(size=(2, 2))
        H, g = root @ root.T + 0.1 * np.eye(2), 3.0 * rng.normal(size=2)
        lower = -rng.uniform(0.0, 1.0, 2)
        upper = lower + rng.uniform(0.1, 2.0, 2)
        d, free, L, work = np.zeros(2), np.zeros(2, bool), np.zeros((2, 2)), np.empty((3, 2))
        box_qp(H, g, lower, upper, d, free, L, work)
        slope = H @ d + g
        inside = (d > lower + 1e-12) & (d < upper - 1e-12)
        assert np.all((d >= lower) & (d <= upper))
        assert np.all(np.abs(slope[inside]) < 1e-9)
        assert np.all(slope[d <= lower] > -1e-9) and np.all(slope[d >= upper] < 1e-9)
        assert np.all(free[inside])


def test_parameters_of_a_problem_reach_its_constraints():
    near = with_parameters(plant_of(bicycle_circles), bicycle_circles.parameter_rows({'x1': 1.0}))
    assert near.dynamics.p[0] == 1.0
    states, controls, goal, _ = random_plan(bicycle_circles)
    p = bicycle_circles.parameter_rows({'x1': 0.0, 'y1': 0.0, 'r1': 0.5})
    first = constraint_values(bicycle_circles, states, controls, goal[None], p)[0]
    np.testing.assert_allclose(first, 0.5 - np.hypot(states[1:, 0], states[1:, 1]))


def test_a_system_that_needs_no_new_word_is_plain():
    assert all(system.task.is_plain for system in SYSTEMS.values())
    assert isinstance(plain(np.zeros((1, 1, 1))), Law) and isinstance(MASS, System)
