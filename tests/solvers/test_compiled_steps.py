"""Programs whose steps are machine code: slopes as CasADi finds them, and the optimum."""

from pathlib import Path

import casadi as ca
import numpy as np
import pytest

import trc_core
from trc_core.compile.casadi_reader import casadi_step_of_parameters
from trc_core.problem.system import System
from trc_core.solvers import fatrop, ilqr, nlp
from trc_core.solvers.compiled_steps import compiled_steps

T = 12


@pytest.fixture(scope='module')
def arm():
    path = Path(trc_core.__file__).parent / 'systems' / 'arm.urdf'
    return System.from_urdf(path, dt=0.02, horizon=T, armature=0.1, payload=0.0)


def gradient_and_curvature(step, arguments):
    """The slopes of multipliers times the steps by (x, u), and their slopes."""
    x, u, p, multipliers = (ca.MX.sym('a', *np.shape(value)) for value in arguments)
    both = ca.veccat(x, u)
    total = ca.dot(multipliers, step(x, u, p))
    gradient = ca.gradient(total, both)
    found = ca.Function(
        'f',
        [x, u, p, multipliers],
        [ca.jacobian(step(x, u, p), both), gradient, ca.jacobian(gradient, both)],
    )
    return [np.array(ca.densify(part)) for part in found(*arguments)]


def test_slopes_and_curvature_are_those_of_casadi(arm):
    rng = np.random.default_rng(0)
    x, multipliers = rng.normal(size=(2, 12, T))
    arguments = x, 20.0 * rng.normal(size=(6, T)), np.array([[1.3]]), multipliers
    step = casadi_step_of_parameters(arm).map(T)
    theirs = gradient_and_curvature(lambda x, u, p: step(x, u, ca.repmat(p, 1, T)), arguments)
    ours = gradient_and_curvature(compiled_steps(arm), arguments)
    for own, exact, share in zip(ours, theirs, (1e-12, 1e-12, 1e-8), strict=True):
        assert np.abs(own - exact).max() <= share * np.abs(exact).max()


def test_the_experts_agree_on_an_arm(arm):
    x0 = np.concatenate([np.linspace(-0.3, 0.3, 6), np.zeros(6)])
    goal = np.concatenate([np.linspace(0.1, -0.1, 6), np.zeros(6)])
    plans = [expert.solve(arm, x0, goal) for expert in (nlp, fatrop, ilqr)]
    assert all(plan.converged for plan in plans)
    best = plans[0].cost
    assert plans[1].cost == pytest.approx(best, rel=1e-6)
    assert plans[2].cost == pytest.approx(best, rel=1e-4)
