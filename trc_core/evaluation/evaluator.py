"""How good are plans? J/J* against IPOPT, on states that training never saw."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trc_core.cost import WRONG_BASIN, is_success, trajectory_cost
from trc_core.plan import Plan
from trc_core.runtime.controller import Controller
from trc_core.systems.base import Array, System

Planner = Callable[..., Plan]
TEST_SEED = 9_000_000  # no training or validation draws its states from this seed
BASELINES = {
    'lqr': 'clipped LQR',
    'ilqr1': 'LQR + 1 iLQR sweep',
    'ilqr2': 'LQR + 2 iLQR sweeps',
    'ilqr3': 'LQR + 3 iLQR sweeps',
    'ilqr': 'iLQR, converged',
    'multistart': 'iLQR, 12 starts',
    'nearest': 'nearest plan + iLQR',
}


@dataclass(frozen=True)
class Scores:
    """Figures of one planner over a set of problems."""

    mean: float
    median: float
    p95: float
    worst: float
    """J/J*: mean, median, 95th percentile and maximum."""
    success: float
    """Share of plans that end within sum |x_T - goal| <= 0.1."""
    wrong: float
    """Share with J more than 2 % above the best known: in the wrong basin, or not converged."""

    @classmethod
    def of(cls, ratio: Array, success: NDArray[np.bool_]) -> Scores:
        """From J/J* (N,) and success (N,)."""
        return cls(
            mean=float(np.mean(ratio)),
            median=float(np.median(ratio)),
            p95=float(np.quantile(ratio, 0.95)),
            worst=float(np.max(ratio)),
            success=float(np.mean(success)),
            wrong=float(np.mean(~(ratio <= WRONG_BASIN))),  # NaN is wrong too
        )


def score(
    planner: Planner, x0: Array, goal: Array, optimum: Array, progress: Iterable[int] | None = None
) -> Scores:
    """Runs `planner` on every problem.

    Args:
        planner: x0 (n_x,), goal (n_x,) -> Plan.
        x0: (N, n_x).
        goal: (N, n_x).
        optimum: J* (N,).
        progress: an iterable over range(N) that shows progress.
    """
    costs, successes = np.empty(len(x0)), np.empty(len(x0), dtype=np.bool_)
    for i in progress or range(len(x0)):
        plan = planner(x0[i], goal[i])
        costs[i], successes[i] = plan.cost, is_success(plan.states, goal[i])
    return Scores.of(costs / optimum, successes)


def planners(controller: Controller, cycles: Iterable[int]) -> dict[str, Planner]:
    """What stands in the table: the baselines, and the controller at each K, also polished."""
    from trc_core.evaluation.baselines import expert_planners

    system = controller.system
    experts = expert_planners(system, BASELINES)
    table = {label: experts[name] for name, label in BASELINES.items()}
    for K in cycles:
        twin = Controller(controller.checkpoint, controller.backend, cycles=K)
        table[f'trc, K = {K}'] = twin.plan
        table[f'trc, K = {K} + 1 sweep'] = partial(twin.plan, polish=1)
    table[f'trc, K = {controller.cycles} + 5 sweeps'] = partial(controller.plan, polish=5)
    return table


def evaluate_model(model: Any, dataset: Any) -> dict[str, float]:
    """Figures of a PyTorch model on a dataset (the guide's function).

    The dynamics of the dataset's system are connected as feedback, and roll out what the model
    plans.

    Args:
        model: a `TinyRecursiveControl`.
        dataset: a `TrajectoryDataset`.

    Returns:
        `mean_error`: mean over samples of sum |x_T - goal|; `success_rate`: share with an error
        of at most 0.1; `control_cost`: mean of J; `cost_ratio`: mean of J over the dataset's J.
    """
    import torch

    from trc_core.models.simulation import SystemDynamics

    data, system = dataset.data, dataset.system
    current, target = data.current_state[dataset.indices], data.target_state[dataset.indices]
    with torch.no_grad():
        dynamics = SystemDynamics(model.representation, system)
        *_, (plan, _) = model.refine(torch.tensor(current), torch.tensor(target), dynamics)
    states, controls = plan.states.numpy(), plan.controls.numpy()
    cost = trajectory_cost(system, states, controls, target)
    return {
        'mean_error': float(np.abs(states[:, -1] - target).sum(-1).mean()),
        'success_rate': float(np.mean(is_success(states, target))),
        'control_cost': float(cost.mean()),
        'cost_ratio': float((cost / data.cost[dataset.indices]).mean()),
    }


def fresh_problems(system: System, count: int, seed: int = TEST_SEED) -> tuple[Array, Array]:
    """Initial states and goals (N, n_x) that nobody trains on."""
    return system.sample(np.random.default_rng(seed), count)
