"""Whether a network is worth having: a sentence that follows from the figures."""

from dataclasses import replace

import pytest

from trc_core.evaluation.evaluator import Scores
from trc_core.evaluation.verdict import verdict

GOOD = Scores(1.0, 1.0, 1.0, 1.0, 1.0, 0.0, milliseconds=2.0)
OURS = replace(GOOD, mean=1.00006, milliseconds=0.3)
BAD = replace(GOOD, mean=1.2, wrong=0.3, milliseconds=1.0)
NETWORK = 'trc, K = 3'


def judged(**others):
    labels = {
        'lqr': 'clipped LQR',
        'one': 'LQR + 1 iLQR sweep',
        'two': 'LQR + 2 iLQR sweeps',
        'three': 'LQR + 3 iLQR sweeps',
        'converged': 'iLQR, converged',
        'starts': 'iLQR, 12 starts',
        'classical': 'classical controller',
        'network': NETWORK,
    }
    rows = {'network': OURS, **others}
    return verdict({labels[name]: scores for name, scores in rows.items()}, NETWORK)


@pytest.mark.parametrize(
    ('others', 'sentence'),
    [
        ({'three': GOOD, 'lqr': BAD}, 'no network is needed here: three sweeps from the LQR do'),
        ({'two': GOOD, 'three': GOOD}, 'no network is needed here: two sweeps'),
        ({'lqr': GOOD, 'three': GOOD}, 'no network is needed here: the clipped LQR does'),
        ({'three': BAD, 'converged': GOOD}, 'converged iLQR does the same, in 2 ms a plan'),
        ({'converged': BAD, 'starts': GOOD}, '12 starts does the same, in 2 ms a plan instead'),
        ({'three': BAD, 'classical': replace(GOOD, milliseconds=0.5)}, 'no network is needed'),
        (
            {'three': BAD, 'classical': GOOD},
            'worth having where time is short: the classical controller does the same, in 2 ms a '
            'plan instead of 0.3 ms',
        ),
        (
            {'network': BAD, 'starts': replace(GOOD, milliseconds=90.0)},
            'where time is short: the best of 12 starts does better (mean J/J* 1 and wrong on '
            '0.0%, instead of 1.2 and 30.0%), in 90 ms a plan instead of 1 ms',
        ),
        ({'network': BAD, 'three': GOOD}, 'no network is needed here: three sweeps from the LQR'),
        ({'network': BAD, 'three': GOOD}, 'do better (mean J/J* 1 and wrong on 0.0%'),
        (
            {'three': BAD, 'converged': replace(BAD, mean=1.1)},
            "the network is worth having: it finds plans that 'iLQR, converged' does not (mean "
            'J/J* 1 and wrong on 0.0%, instead of 1.1 and 30.0%)',
        ),
        ({'three': replace(GOOD, mean=1.0010)}, 'no network is needed'),
        ({'three': replace(GOOD, mean=1.0012)}, 'the network is worth having'),
        ({'three': replace(GOOD, mean=float('nan'))}, 'the network is worth having'),
        ({'three': replace(GOOD, wrong=0.01)}, 'the network is worth having'),
        ({'three': replace(GOOD, mean=0.9)}, 'no network is needed'),
    ],
)
def test_the_sentence_follows_from_the_figures(others, sentence):
    assert sentence in judged(**others)


def test_with_constraints_plans_are_wrong_by_their_merit():
    ours, other = replace(OURS, wrong=0.0), replace(GOOD, wrong=0.2)
    scores = {NETWORK: ours, 'iLQR, converged': other}
    assert 'J/J*' in verdict(scores, NETWORK)
    scores = {name: replace(s, merit_wrong=0.0) for name, s in scores.items()}
    assert 'does the same' in verdict(scores, NETWORK)


def test_a_table_without_a_network_or_without_others_says_nothing():
    assert verdict({'clipped LQR': GOOD}, '') is None
    assert verdict({'clipped LQR': GOOD}, NETWORK) is None
    assert verdict({NETWORK: OURS, 'nlp': GOOD}, NETWORK) is None
