"""Scores of plans: J/J* against the best known plans, on states that were not used in training."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trc_core.evaluation.problems import Problems, draw_problems
from trc_core.evaluation.reference import Optima, best_known_optima, starts_needed
from trc_core.numerics.cost import WRONG_BASIN, difference, is_success
from trc_core.numerics.plan import Plan, cost_ratio
from trc_core.problem.system import Array, System
from trc_core.progress import progress_bar

Planner = Callable[..., Plan]
"""x0 (n_x,), goal (n_x,), also `parameters` by name where the problems have some -> Plan."""
BOUND_TOLERANCE = 1e-6  # of the control range; nearer to a bound a control lies on it
TIMED = 20  # plans whose time is taken
COLLISION = 0.01  # violation of a constraint, in its unit, above which a plan is wrong
DEEP = 0.05
HEADINGS = ('mean', 'median', 'p95', 'max', '> 2 %', 'success', 'error', 'on bound', 'ms')
CONSTRAINED_HEADINGS = ('M/M*', 'M wrong', 'violation', '> 0.01', '> 0.05')


@dataclass(frozen=True)
class Scores:
    """Figures of one planner over a set of problems."""

    mean: float
    """Mean of J/J*."""
    median: float
    """Median of J/J*."""
    p95: float
    """95th percentile of J/J*."""
    worst: float
    """Maximum of J/J*."""
    success: float
    """Share of plans that end within `goal_tolerance` of the goal."""
    wrong: float
    """Share of plans with J more than 2 % above the best known: in another local optimum, or not
    converged. With constraints, plans that violate one by more than 0.01 of its unit count too."""
    error: float | None = None
    """Mean of sum |x_T - goal|."""
    on_bound: float | None = None
    """Share of the controls that lie on a bound."""
    milliseconds: float | None = None
    """Median CPU time of a plan [ms]."""
    merit: float | None = None
    """Mean of M/M*, the ratio of the merits. This field and all below are for problems with
    constraints."""
    merit_wrong: float | None = None
    """Share with a merit more than 2 % above the best known."""
    violation: float | None = None
    """Largest violation of a constraint, in its unit."""
    colliding: float | None = None
    """Share of plans with a violation above 0.01."""
    deep: float | None = None
    """Share of plans with a violation above 0.05."""

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
    problems: Problems,
    optima: Optima,
    progress: Iterable[int] | None = None,
) -> Scores:
    """Runs `planner` on every problem.

    Args:
        system: the plant.
        planner: what is scored.
        problems: N of them.
        optima: the best known of every problem.
        progress: an iterable over range(N) that shows progress.
    """
    rows = progress or range(len(problems.x0))
    plans, seconds = zip(*(planned(planner, problems, i) for i in rows), strict=True)
    return scores_of(system, plans, seconds, problems, optima)


def planned(planner: Planner, problems: Problems, i: int) -> tuple[Plan, float]:
    """The plan for problem i, and the CPU time that it took [s]."""
    began = time.process_time()
    plan = planner(problems.x0[i], problems.goal[i], **problems.arguments(i))
    return plan, time.process_time() - began


def scores_of(
    system: System,
    plans: Sequence[Plan],
    seconds: Sequence[float],
    problems: Problems,
    optima: Optima,
) -> Scores:
    """Scores of N plans, which took so many seconds each, for as many problems."""
    states, controls = (np.stack([getattr(p, n) for p in plans]) for n in ('states', 'controls'))
    cost, goal = np.array([plan.cost for plan in plans]), problems.goal
    scores = replace(
        Scores.of(cost_ratio(cost, optima.cost), is_success(system, states, goal)),
        error=float(np.abs(difference(system, states[:, -1], goal)).sum(-1).mean()),
        on_bound=on_bound(system, controls),
        milliseconds=1e3 * float(np.median(seconds)),
    )
    if not system.task.constraints:
        return scores
    violation = np.array([plan.violation for plan in plans])
    merit = np.array([plan.merit for plan in plans])
    return with_constraints(
        scores, cost_ratio(cost, optima.cost), cost_ratio(merit, optima.merit), violation
    )


def with_constraints(scores: Scores, ratio: Array, merit: Array, violation: Array) -> Scores:
    """Scores with what constraints add.

    Args:
        scores: without it.
        ratio: J/J* (N,).
        merit: M/M* (N,).
        violation: the largest of every plan (N,).
    """
    fine = (ratio <= WRONG_BASIN) & (violation <= COLLISION)  # NaN is not
    return replace(
        scores,
        wrong=float(np.mean(~fine)),
        merit=float(np.mean(merit)),
        merit_wrong=float(np.mean(~(merit <= WRONG_BASIN))),
        violation=float(np.max(violation)),
        colliding=float(np.mean(~(violation <= COLLISION))),
        deep=float(np.mean(~(violation <= DEEP))),
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
    """Number of starts per state with which J* was computed."""
    unsolved: int
    """States left out because no solver converged."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Planners left out of the table, and why each cannot serve the system."""
    optimum: str = ''
    """What J* is of, for people; '' for that of `best_known_optima`."""

    def __str__(self) -> str:
        constrained = any(s.merit is not None for s in self.scores.values())
        one = 'IPOPT and sweeps from 12 starts' if constrained else 'IPOPT'
        several = one if self.starts == 1 else f'the best of {self.starts} starts'
        optimum = self.optimum or several
        headings = (*HEADINGS, *(CONSTRAINED_HEADINGS if constrained else ()))
        lines = [
            f'{self.title}: J/J* against {optimum} on {self.states} states (seed {self.seed})',
            ' ' * 22 + ''.join(f'{heading:>11}' for heading in headings),
        ]
        for label, s in self.scores.items():
            ratios = ''.join(f'{value:11.5f}' for value in (s.mean, s.median, s.p95, s.worst))
            behind = f'{s.error:11.4f}{s.on_bound:11.1%}{s.milliseconds:11.3f}'
            if constrained:
                behind += f'{s.merit:11.5f}{s.merit_wrong:11.1%}{s.violation:11.2g}'
                behind += f'{s.colliding:11.1%}{s.deep:11.1%}'
            lines.append(f'{label:22}{ratios}{s.wrong:11.1%}{s.success:11.1%}{behind}')
        if constrained:
            lines.append(
                '> 2 % counts J > 1.02 J* and violations > 0.01; M = J + weight * violations'
            )
        if self.unsolved:
            lines.append(f'left out: {self.unsolved} states that no solver solved')
        lines += [f"left out: '{name}', which {why}" for name, why in self.left_out.items()]
        return '\n'.join(lines)


def evaluate(
    title: str, system: System, table: Mapping[str, Planner], states: int, seed: int
) -> Evaluation:
    """Scores every planner of `table` on `states` fresh problems.

    Raises:
        ValueError: if the optimum is known for none of them.
    """
    problems, starts = draw_problems(system, states, seed), starts_needed(system)
    optima = best_known_optima(system, problems, starts)
    if not optima.solved.any():
        raise ValueError(f"no solver converged on any of {states} states of '{system.name}'")
    count = int(optima.solved.sum())
    problems, optima = problems.rows(optima.solved), optima.rows(optima.solved)
    scores = {}
    for label, planner in table.items():
        bar = progress_bar(range(count), label=label, leave=False)
        scores[label] = score(system, planner, problems, optima, bar)
    return Evaluation(title, scores, states, seed, starts, states - count)


def evaluate_model(model: Any, dataset: Any) -> dict[str, Any]:
    """Scores a PyTorch model on the states of a dataset.

    The dynamics of the dataset's system are the feedback of the model, and simulate its plans.

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
