"""Imitation under constraints: forms of the Lagrangian, and networks that only propose."""

import numpy as np
import pytest

from trc_core.numerics.cost import trajectory_cost
from trc_core.numerics.representation import Coordinates
from trc_core.solvers.library import library_labels
from trc_core.solvers.problem import Problem
from trc_core.systems import get_system
from trc_core.training.expansion import local_forms, plans_of

CAR = get_system('bicycle_circles')
STEP = 1e-6


class Optima:
    """Optimal plans among circles, their quadratic forms, and what becomes of other plans."""

    def __init__(self):
        self.labels = labels = library_labels(CAR, 8, seed=3)
        self.numbers = Coordinates('open_loop').numbers(CAR)
        B = len(labels.cost)
        self.M, self.held = local_forms(CAR, self.numbers, np.ones(B), labels)
        self.problems = [
            Problem.of(CAR, x0, goal, dict(zip(CAR.parameters, p, strict=True)))
            for x0, goal, p in zip(labels.x0, labels.goal, labels.parameters, strict=True)
        ]

    def constraints(self, b, x, u):
        """h (T, n_h) behind the start."""
        labels, steps = self.labels, np.arange(1, CAR.horizon + 1)
        held = np.concatenate([u[1:], u[-1:]])
        found = CAR.task.constraints.evaluate(
            x[1:], held, labels.goal[b], list(labels.parameters[b]), steps * CAR.dt
        )
        return np.stack(np.broadcast_arrays(*found), 1)

    def flown(self, b, o, width):
        """States, controls and h of plan b, changed by `width` times o (T, n_u)."""
        u = self.labels.controls[b] + width * np.einsum('tji,tj->ti', self.numbers.L_inverse, o)
        x, _ = self.problems[b].replay(u)
        return x, u, self.constraints(b, x, u)


@pytest.fixture(scope='module')
def optima():
    return Optima()


def test_the_form_is_the_gauss_newton_hessian_of_the_lagrangian(optima):
    random, pushed = np.random.default_rng(1), 0
    for b, cost in enumerate(optima.labels.cost):
        labels = optima.labels
        o = 0.05 * random.normal(size=labels.controls[b].shape) * (optima.held[b] == 0)
        forth, back = optima.flown(b, o, STEP), optima.flown(b, o, -STEP)
        dx, du, dh = ((one - other) / (2 * STEP) for one, other in zip(forth, back, strict=True))
        curved = trajectory_cost(CAR, dx[None], du[None], np.zeros((1, *dx.shape)))[0]
        h = optima.flown(b, o, 0.0)[2]
        active = labels.multipliers[b][1:] + labels.penalties[b] * h > 0.0
        pushed += active.any()
        truth = curved + 0.5 * np.sum(active * labels.penalties[b] * dh**2)
        predicted = np.square(optima.M[b].astype(float) @ o.ravel()).sum()
        assert predicted == pytest.approx(truth / cost, rel=2e-3)
    assert pushed >= 3


def test_plans_of_labels_reproduce_their_controls(optima):
    for kind in ('open_loop', 'gated'):
        law = Coordinates(kind).numbers(CAR).law
        v = plans_of(CAR, law, optima.labels)
        for b, problem in enumerate(optima.problems):
            _, controls, _ = problem.fly(law, v[b])
            np.testing.assert_allclose(controls, optima.labels.controls[b], atol=1e-6)
