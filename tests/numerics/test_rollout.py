"""Roll-outs and their gradient, against plain Python, PyTorch, CasADi and finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trc_core.compile.binding import plant_of, readable_plant_of
from trc_core.compile.casadi_reader import casadi_step
from trc_core.compile.kernels import compiled
from trc_core.compile.torch_reader import torch_step
from trc_core.numerics.batch import BatchRollout
from trc_core.numerics.cost import constant_reference, trajectory_cost
from trc_core.numerics.representation import catching_law
from trc_core.numerics.riccati import finite_horizon_gains
from trc_core.numerics.rollout import Law, Trajectory, gradient, plain, reproject, rollout
from trc_core.systems import SYSTEMS

# Far from the goal the LQR throws these about, and rounding grows beyond any comparison.
CHAOTIC = ('pendulum', 'cartpole_swingup')
LAWS = {
    'open-loop': lambda system, goal: plain(0 * finite_horizon_gains(system, goal)[0]),
    'feedback': lambda system, goal: plain(finite_horizon_gains(system, goal)[0]),
    'gated': lambda system, goal: Law(catching_law(system, goal).K, _half_open(system, goal)),
}
every_law = pytest.mark.parametrize('law', LAWS)
every_system = pytest.mark.parametrize('system', SYSTEMS.values(), ids=lambda s: s.name)


def _half_open(system, goal):
    """A gate that closes within the states that the tests reach."""
    return np.eye(system.n_x) / max(0.1, np.square(system.x0_box).sum() / 4)


class Problem:
    """A random feedback plan of a size that makes some controls clip and others not."""

    def __init__(self, system, law='feedback', seed=3):
        rng = np.random.default_rng(seed)
        self.system = system
        (self.x0,), (self.goal,) = system.sample(rng, 1)
        if system.name in CHAOTIC:
            self.x0 = self.goal + 0.1 * (self.x0 - self.goal)
        self.law = LAWS[law](system, self.goal)
        self.v = 0.7 * system.u_max * rng.normal(size=(system.horizon, system.n_u))
        self.r = constant_reference(self.goal, system.horizon)
        states = np.empty((system.horizon + 1, system.n_x))
        self.trajectory = Trajectory(states, np.empty_like(self.v))

    @property
    def x(self):
        return self.trajectory.x

    @property
    def u(self):
        return self.trajectory.u

    def roll(self, v=None, kernel=None, plant=None):
        kernel, plant = kernel or compiled(rollout), plant or plant_of(self.system)
        v = self.v if v is None else v
        return kernel(plant, self.law, v, self.x0, self.r, self.trajectory)

    def gradient(self, kernel=None, plant=None):
        kernel, plant = kernel or compiled(gradient), plant or plant_of(self.system)
        dJ_dv = np.empty_like(self.v)
        kernel(plant, self.law, self.v, self.trajectory, self.r, dJ_dv)
        return dJ_dv


def roll_in_torch(problem, v):
    system, step = problem.system, torch_step(problem.system)
    K, G = map(torch.from_numpy, problem.law)
    x0, goal = torch.from_numpy(problem.x0), torch.from_numpy(problem.goal)
    bounds = torch.from_numpy(system.u_min), torch.from_numpy(system.u_max)
    states, controls = [x0], []
    for t in range(system.horizon):
        error = states[-1] - goal
        weight = 1 / (1 + (error @ G @ error) ** 2)
        raw = torch.from_numpy(system.u_trim) + v[t] - weight * K[t] @ error
        controls.append(raw.clamp(*bounds))
        states.append(step(states[-1], controls[-1]))
    return torch.stack(states), torch.stack(controls), goal


@every_system
@every_law
def test_compiled_kernels_equal_plain_python(system, law):
    problem = Problem(system, law)
    J = problem.roll()
    x, u, dJ_dv = problem.x.copy(), problem.u.copy(), problem.gradient()
    readable = readable_plant_of(system)
    assert problem.roll(kernel=rollout, plant=readable) == pytest.approx(J, rel=1e-10)
    np.testing.assert_allclose(problem.x, x, atol=1e-10)
    np.testing.assert_allclose(problem.u, u, atol=1e-10)
    in_python = problem.gradient(gradient, readable)
    np.testing.assert_allclose(in_python, dJ_dv, rtol=1e-9, atol=1e-9)


@every_system
def test_numpy_torch_and_casadi_roll_out_the_same_trajectory(system):
    problem = Problem(system)
    J = problem.roll()
    states, controls, _ = roll_in_torch(problem, torch.from_numpy(problem.v))
    np.testing.assert_allclose(states.numpy(), problem.x, atol=1e-10)
    np.testing.assert_allclose(controls.numpy(), problem.u, atol=1e-10)
    x = casadi_step(system).mapaccum(system.horizon)(problem.x0, problem.u.T)
    np.testing.assert_allclose(np.array(x).T, problem.x[1:], atol=1e-10)
    assert trajectory_cost(system, problem.x, problem.u, problem.goal) == pytest.approx(J)


@every_system
@every_law
def test_the_adjoint_gradient_equals_autograd(system, law):
    problem = Problem(system, law)
    problem.roll()
    clipped = (problem.u == system.u_min) | (problem.u == system.u_max)
    assert clipped.any() and not clipped.all()
    v = torch.from_numpy(problem.v.copy()).requires_grad_()
    trajectory_cost(system, *roll_in_torch(problem, v)).backward()
    np.testing.assert_allclose(problem.gradient(), v.grad.numpy(), rtol=1e-9, atol=1e-9)


@every_system
def test_the_adjoint_gradient_is_the_slope_of_j(system):
    problem = Problem(system)
    problem.roll()
    dJ_dv = problem.gradient()
    h = 1e-6
    for t in range(0, system.horizon, max(1, system.horizon // 10)):
        for i in range(system.n_u):
            bump = np.zeros_like(problem.v)
            bump[t, i] = h
            slope = (problem.roll(problem.v + bump) - problem.roll(problem.v - bump)) / (2 * h)
            assert dJ_dv[t, i] == pytest.approx(slope, rel=1e-5, abs=1e-5)


@every_system
def test_the_gradient_on_a_bound_only_points_inside(system):
    cases = set()
    for seed in range(6):
        problem = Problem(system, 'open-loop', seed)
        upper = np.random.default_rng(seed).random(problem.v.shape) < 0.5
        problem.v = np.where(upper, system.u_max, system.u_min) - system.u_trim
        problem.roll()
        step, controls = torch_step(system), torch.from_numpy(problem.u.copy()).requires_grad_()
        states = [torch.from_numpy(problem.x0)]
        for t in range(system.horizon):
            states.append(step(states[-1], controls[t]))
        goal = torch.from_numpy(problem.goal)
        trajectory_cost(system, torch.stack(states), controls, goal).backward()
        slope = controls.grad.numpy()
        inward = np.where(upper, np.maximum(slope, 0.0), np.minimum(slope, 0.0))
        np.testing.assert_allclose(problem.gradient(), inward, rtol=1e-9, atol=1e-9)
        cases |= set(zip(upper.ravel().tolist(), (slope > 0).ravel().tolist(), strict=True))
    assert len(cases) == 4  # on either bound, pushed inside and pushed outside


@every_system
@every_law
def test_a_reprojected_plan_reproduces_its_controls(system, law):
    problem = Problem(system, law)
    J = problem.roll()
    u, v = problem.u.copy(), np.empty_like(problem.v)
    reproject(plant_of(system), problem.law, problem.trajectory, problem.r, v)
    assert not np.allclose(v, problem.v)  # clipping made v and the applied controls differ
    assert problem.roll(v) == pytest.approx(J, rel=1e-12)
    np.testing.assert_allclose(problem.u, u, atol=1e-12)


@every_system
def test_a_batch_is_a_loop(system):
    problems = [Problem(system, seed=seed) for seed in range(3)]
    plants = [system, system.with_parameters(**{k: 1.1 * p for k, p in system.parameters.items()})]
    laws, own = [problems[0].law, problems[2].law], [0, 0, 1]
    v, x0, r = (np.array([getattr(p, n) for p in problems]) for n in ('v', 'x0', 'r'))
    batch = BatchRollout(plants, laws).simulate(v, x0, r, np.array(own))
    for b, problem in enumerate(problems):
        problem.system, problem.law = plants[own[b]], laws[own[b]]
        assert batch.cost[b] == pytest.approx(problem.roll(), rel=1e-13)
        plant = plant_of(problem.system)
        reproject(plant, problem.law, problem.trajectory, problem.r, problem.v)
        np.testing.assert_allclose(batch.states[b], problem.x, atol=1e-13)
        np.testing.assert_allclose(batch.v[b], problem.v, atol=1e-13)
        np.testing.assert_allclose(batch.gradient[b], problem.gradient(), rtol=1e-12, atol=1e-12)


@every_system
@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1e6))
def test_no_plan_leaves_the_bounds(system, seed, size):
    problem = Problem(system, seed=seed)
    problem.roll(size * problem.v)
    assert np.all(problem.u >= system.u_min) and np.all(problem.u <= system.u_max)
