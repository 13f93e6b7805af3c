"""Scores of plans: J/J* against IPOPT, on states that training never saw."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from trc_core.evaluation.reference import reference_optima, starts_needed
from trc_core.numerics.cost import WRONG_BASIN, is_success
from trc_core.numerics.plan import Plan
from trc_core.problem.system import Array, System

Planner = Callable[[Array, Array], Plan]
"""x0 (n_x,), goal (n_x,) -> Plan."""
BOUND_TOLERANCE = 1e-6  # of the control range; nearer to a bound a control lies on it
TIMED = 20  # plans whose time is taken
TEST_SEED = 9_000_000  # no training or validation draws its states from this seed
HEADINGS = ('mean', 'median', 'p95', 'max', '> 2 %', 'success', 'error', 'on bound', 'ms')


@dataclass(frozen=True)
class Scores:
    """Figures of one planner over a set of problems."""

    mean: float
    median: float
    p95: float
    worst: float
    """J/J*: mean, median, 95th percentile and maximum."""
    success: float
    """Share of plans that end within `goal_tolerance` of the goal."""
    wrong: float
    """Share with J more than 2 % above the best known: in the wrong basin, or not converged."""
    error: float | None = None
    """Mean of sum |x_T - goal|."""
    on_bound: float | None = None
    """Share of the controls that lie on a bound."""
    milliseconds: float | None = None
    """Median time of a plan, under the load that there was."""

    @classmethod
    def of(cls, ratio: Array, success: NDArray[np.bool_]) -> Scores:
        """Scores of J/J* (N,) and success (N,)."""
        return cls(
            mean=float(np.mean(ratio)),
            median=float(np.median(ratio)),
            p95=float(np.quantile(ratio, 0.95)),
            worst=float(np.max(ratio)),
            success=float(np.mean(success)),
            wrong=float(np.mean(~(ratio <= WRONG_BASIN))),  # NaN is wrong too
        )


def score(
    system: System,
    planner: Planner,
    x0: Array,
    goal: Array,
    optimum: Array,
    progress: Iterable[int] | None = None,
) -> Scores:
    """Runs `planner` on every problem.

    Args:
        system: the plant.
        planner: what is scored.
        x0: (N, n_x).
        goal: (N, n_x).
        optimum: J* (N,).
        progress: an iterable over range(N) that shows progress.
    """
    # plan, one problem at a time
    plans, seconds = [], []
    for i in progress or range(len(x0)):
        began = time.perf_counter()
        plans.append(planner(x0[i], goal[i]))
        seconds.append(time.perf_counter() - began)
    # compare with the optimum
    states, controls = (np.stack([getattr(p, n) for p in plans]) for n in ('states', 'controls'))
    cost = np.array([plan.cost for plan in plans])
    return replace(
        Scores.of(cost / optimum, is_success(system, states, goal)),
        error=float(np.abs(states[:, -1] - goal).sum(-1).mean()),
        on_bound=on_bound(system, controls),
        milliseconds=1e3 * float(np.median(seconds)),
    )


def on_bound(system: System, controls: Array) -> float:
    """Share of controls (..., n_u) that lie on a bound."""
    reach = BOUND_TOLERANCE * (system.u_max - system.u_min)
    held = (controls <= system.u_min + reach) | (controls >= system.u_max - reach)
    return float(held.mean())


@dataclass(frozen=True)
class Evaluation:
    """The scores of several planners on the same states."""

    title: str
    scores: Mapping[str, Scores]
    states: int
    seed: int
    starts: int
    """Starts per state of the optimum that the planners are compared with."""
    unsolved: int
    """States left out because no solver converged."""

    def __str__(self) -> str:
        optimum = 'IPOPT' if self.starts == 1 else f'the best of {self.starts} starts'
        lines = [
            f'{self.title}: J/J* against {optimum} on {self.states} states (seed {self.seed})',
            ' ' * 22 + ''.join(f'{heading:>11}' for heading in HEADINGS),
        ]
        for label, s in self.scores.items():
            ratios = ''.join(f'{value:11.5f}' for value in (s.mean, s.median, s.p95, s.worst))
            behind = f'{s.error:11.4f}{s.on_bound:11.1%}{s.milliseconds:11.3f}'
            lines.append(f'{label:22}{ratios}{s.wrong:11.1%}{s.success:11.1%}{behind}')
        if self.unsolved:
            lines.append(f'left out: {self.unsolved} states that IPOPT did not solve')
        return '\n'.join(lines)


def evaluate(
    title: str, system: System, table: Mapping[str, Planner], states: int, seed: int
) -> Evaluation:
    """Scores every planner of `table` on `states` fresh problems.

    Raises:
        ValueError: if the optimum is known for none of them.
    """
    x0, goal = fresh_problems(system, states, seed)
    starts = starts_needed(system)
    optimum, solved = reference_optima(system, x0, goal, starts)
    if not solved.any():
        raise ValueError(f"no solver converged on any of {states} states of '{system.name}'")
    optimum = optimum[solved]
    scores = {}
    for label, planner in table.items():
        bar = tqdm(range(len(optimum)), desc=label, leave=False)
        scores[label] = score(system, planner, x0[solved], goal[solved], optimum, bar)
    return Evaluation(title, scores, states, seed, starts, int(states - solved.sum()))


def evaluate_model(model: Any, dataset: Any) -> dict[str, Any]:
    """Figures of a PyTorch model on a dataset (the guide's function).

    The dynamics of the dataset's system are connected as feedback, and roll out what the model
    plans.

    Args:
        model: a `TinyRecursiveControl`.
        dataset: a `TrajectoryDataset`.

    Returns:
        `mean_error`: mean over samples of sum |x_T - goal|; `success_rate`: share that ends
        within `goal_tolerance`; `control_cost`: mean of J; `cost_ratio`, `cost_ratio_median`,
        `cost_ratio_p95` and `cost_ratio_max`: of J over the dataset's J; `bound_activity`: share
        of the controls on a bound; `refinement_gain`: share of J that each cycle saves, mean over
        samples, a list; `latency_ms`: median time of a plan for one sample.
    """
    import torch

    from trc_core.models.simulation import SystemDynamics

    # refine a plan of every sample
    data, system = dataset.data, dataset.system
    current, target = (
        torch.tensor(states[dataset.indices]) for states in (data.current_state, data.target_state)
    )
    with torch.no_grad():
        dynamics = SystemDynamics(model.representation, system)
        history = [plan for plan, _ in model.refine(current, target, dynamics)]
    # compare the last plans with the dataset's, and every cycle with the one before
    costs = np.stack([plan.cost.numpy() for plan in history])  # (K + 1, N)
    states, controls = history[-1].states.numpy(), history[-1].controls.numpy()
    goal = target.numpy()
    scores = Scores.of(costs[-1] / data.cost[dataset.indices], is_success(system, states, goal))
    return {
        'mean_error': float(np.abs(states[:, -1] - goal).sum(-1).mean()),
        'success_rate': scores.success,
        'control_cost': float(costs[-1].mean()),
        'cost_ratio': scores.mean,
        'cost_ratio_median': scores.median,
        'cost_ratio_p95': scores.p95,
        'cost_ratio_max': scores.worst,
        'bound_activity': on_bound(system, controls),
        'refinement_gain': (1 - costs[1:] / costs[:-1]).mean(1).tolist(),
        'latency_ms': _latency(model, current[:1], target[:1], system),
    }


def _latency(model: Any, current: Any, target: Any, system: System) -> float:
    """Median time [ms] of `model` for one state (1, n_x), in PyTorch."""
    import torch

    seconds = []
    for _ in range(TIMED + 1):  # the first one warms up
        began = time.perf_counter()
        with torch.no_grad():
            model(current, target, dynamics_fn=system)
        seconds.append(time.perf_counter() - began)
    return 1e3 * float(np.median(seconds[1:]))


def fresh_problems(system: System, count: int, seed: int = TEST_SEED) -> tuple[Array, Array]:
    """Initial states and goals (N, n_x) that nobody trains on."""
    return system.sample(np.random.default_rng(seed), count)
