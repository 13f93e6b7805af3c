"""Whether a network is worth having for a system: one sentence, from the figures of a table."""

from __future__ import annotations

from collections.abc import Mapping

from trc_core.evaluation.baselines import BASELINES
from trc_core.evaluation.evaluator import Scores

SAME_MEAN = 1e-3  # of J/J* by which planners that do the same may differ
SAME_WRONG = 0.005  # share of states on which one of them may be wrong and the other not
SWEEPS = {
    'lqr': 'the clipped LQR does',
    'ilqr1': 'one sweep from the LQR does',
    'ilqr2': 'two sweeps from the LQR do',
    'ilqr3': 'three sweeps from the LQR do',
}
"""What costs no more than a network, cheapest first."""


def verdict(scores: Mapping[str, Scores], network: str) -> str | None:
    """Says whether the network is worth having beside what needs none.

    A planner without a network does the same where its mean J/J* is at most 0.001 above that of
    the network, and wrong on at most half a percent of the states more.

    Args:
        scores: of the planners of a table, by label.
        network: the label of the network as it is delivered.

    Returns:
        A sentence; None where the table has no network, or nothing to compare it with.
    """
    known = {name: scores[label] for name, label in BASELINES.items() if label in scores}
    ours = scores.get(network)
    if ours is None or not known:
        return None
    for name, what in SWEEPS.items():
        if name in known and _does_the_same(known[name], ours):
            return (
                f'no network is needed here: {what} the same, and Controller.classical(system) '
                'flies that'
            )
    for name in ('ilqr', 'multistart'):
        if name in known and _does_the_same(known[name], ours):
            other = known[name]
            return (
                f"the network is worth having where time is short: '{BASELINES[name]}' does the "
                f'same, in {_time(other)} a plan instead of {_time(ours)}'
            )
    name = min(known, key=lambda name: (known[name].wrong, known[name].mean))
    best = known[name]
    return (
        f'the network is worth having: mean J/J* {ours.mean:.4g} and wrong on {ours.wrong:.1%}, '
        f"'{BASELINES[name]}' {best.mean:.4g} and {best.wrong:.1%}"
    )


def _does_the_same(other: Scores, ours: Scores) -> bool:
    is_as_cheap = other.mean <= ours.mean + SAME_MEAN
    return is_as_cheap and _wrong(other) <= _wrong(ours) + SAME_WRONG


def _wrong(scores: Scores) -> float:
    """The share of wrong plans: by the merit, where there are constraints."""
    return scores.wrong if scores.merit_wrong is None else scores.merit_wrong


def _time(scores: Scores) -> str:
    return f'{scores.milliseconds or 0.0:.3g} ms'
