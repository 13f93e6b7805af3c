"""Whether a network is worth having for a system: one sentence, from the figures of a table."""

from __future__ import annotations

from collections.abc import Mapping

from trc_core.evaluation.baselines import CLASSICAL, LABELS
from trc_core.evaluation.evaluator import Scores

SAME_MEAN = 1e-3  # of J/J* by which planners that do the same may differ
SAME_WRONG = 0.005  # share of states on which one of them may be wrong and the other not
NO_SLOWER = 2.0  # times the network's time, within which a planner is no slower
SWEEPS = {
    'lqr': 'the clipped LQR does',
    'ilqr1': 'one sweep from the LQR does',
    'ilqr2': 'two sweeps from the LQR do',
    'ilqr3': 'three sweeps from the LQR do',
}
"""What costs no more than a network, cheapest first."""
SLOWER = {
    CLASSICAL: 'the classical controller does',
    'ilqr': 'converged iLQR does',
    'multistart': 'the best of 12 starts does',
}
"""What may cost more, cheapest first."""


def verdict(scores: Mapping[str, Scores], network: str) -> str | None:
    """Says whether the network is worth having beside what needs none.

    A planner without a network does the same where its mean J/J* is at most 0.001 above that of
    the network, and wrong on at most half a percent of the states more. If it is also no slower
    than twice the network's time, no network is needed.

    Args:
        scores: of the planners of a table, by label.
        network: the label of the network as it is delivered.

    Returns:
        A sentence; None where the table has no network, or nothing to compare it with.
    """
    known = {name: scores[label] for name, label in LABELS.items() if label in scores}
    ours = scores.get(network)
    if ours is None or not known:
        return None
    rivals = {name: what for name, what in {**SWEEPS, **SLOWER}.items() if name in known}
    as_good = [name for name in rivals if _is_as_good(known[name], ours)]
    for name in as_good:
        if name in SWEEPS or _milliseconds(known[name]) <= NO_SLOWER * _milliseconds(ours):
            return (
                f'no network is needed here: {rivals[name]} {_same(known[name], ours)}; fly that '
                'without training (Controller.classical, model_path: classical)'
            )
    if as_good:
        other = known[as_good[0]]
        return (
            f'the network is worth having where time is short: {rivals[as_good[0]]} '
            f'{_same(other, ours)}, in {_milliseconds(other):.3g} ms a plan instead of '
            f'{_milliseconds(ours):.3g} ms'
        )
    name = min(known, key=lambda name: (_wrong(known[name]), known[name].mean))
    best = known[name]
    return (
        f"the network is worth having: it finds plans that '{LABELS[name]}' does not (mean J/J* "
        f'{ours.mean:.4g} and wrong on {_wrong(ours):.1%}, instead of {best.mean:.4g} and '
        f'{_wrong(best):.1%})'
    )


def _is_as_good(other: Scores, ours: Scores) -> bool:
    is_as_cheap = other.mean <= ours.mean + SAME_MEAN
    return is_as_cheap and _wrong(other) <= _wrong(ours) + SAME_WRONG


def _same(other: Scores, ours: Scores) -> str:
    """Words for a planner that is as good as the network: the same, or how much better."""
    if ours.mean <= other.mean + SAME_MEAN and _wrong(ours) <= _wrong(other) + SAME_WRONG:
        return 'the same'
    return (
        f'better (mean J/J* {other.mean:.4g} and wrong on {_wrong(other):.1%}, instead of '
        f'{ours.mean:.4g} and {_wrong(ours):.1%})'
    )


def _wrong(scores: Scores) -> float:
    """The share of wrong plans: by the merit, where there are constraints."""
    return scores.wrong if scores.merit_wrong is None else scores.merit_wrong


def _milliseconds(scores: Scores) -> float:
    return scores.milliseconds or 0.0
