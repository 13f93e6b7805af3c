"""`trc experiment environments`: closed loops in environments that nobody here wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from trc_core.lab.benchmark.interleaved import reason
from trc_core.lab.environments.control_suite import CONTROL_SUITE
from trc_core.lab.environments.environment import Environment
from trc_core.lab.environments.flights import PILOTS, STARTS, Episode, fly, summary
from trc_core.lab.environments.gymnasium_tasks import GYMNASIUM
from trc_core.lab.environments.safe_control import SAFE_CONTROL
from trc_core.lab.experiments.frame import Experiment, Figures, Results, Work, key
from trc_core.lab.markdown import table

ENVIRONMENTS: Mapping[str, Callable[[], Environment]] = {
    **CONTROL_SUITE,
    **GYMNASIUM,
    **SAFE_CONTROL,
}
OURS, CONVERGED = 'trc', 'converged MPC'
SEED = 1000  # of the first episode; weights were chosen on episodes of lower seeds
TD_MPC2 = (
    'the mean of three seeds after 4 million steps of the environment, from the results beside '
    'the code of Hansen, Su, Wang, TD-MPC2 (ICLR 2024), github.com/nicklashansen/tdmpc2'
)
ZOO = 'one run each, benchmark.md of github.com/DLR-RM/rl-baselines3-zoo'
TD3 = 'table 1 of Fujimoto, van Hoof, Meger, TD3 (ICML 2018), of its earlier version v1'
PUBLISHED: Mapping[str, tuple[Mapping[str, float], str]] = {
    'dm_control cartpole swingup': ({'TD-MPC2': 877.2, 'DreamerV3': 830.2, 'SAC': 825.5}, TD_MPC2),
    'dm_control acrobot swingup': ({'TD-MPC2': 662.9, 'DreamerV3': 365.3, 'SAC': 58.7}, TD_MPC2),
    'Gymnasium Pendulum-v1': ({'TD3': -151.9, 'SAC': -157.0, 'PPO': -172.2}, ZOO),
    'Gymnasium InvertedDoublePendulum-v5': ({'DDPG': 9355.5, 'TD3': 9337.5, 'PPO': 8977.9}, TD3),
}
"""Returns that others report, and where."""
HEADINGS = ['', 'return', 'deviation', 'lowest', 'of converged MPC', 'steps out of bounds']
HEADINGS += ['ms a plan p50', 'p99', 'ms first plan', 'n']


@dataclass(frozen=True)
class Size:
    """How much is flown."""

    episodes: int = 20


FULL = Size(episodes=100)


def units(size: Size, seed: int) -> dict[str, Work]:
    """Every environment."""
    return {key(name): partial(_flown, size, name, seed) for name in ENVIRONMENTS}


def _flown(size: Size, name: str, seed: int) -> Figures:
    """Figures of every pilot in an environment; they take turns, episode by episode."""
    try:
        environment = ENVIRONMENTS[name]()
    except ImportError as error:
        return {'absent': reason(error)}
    pilots = {label: pilot(environment.system) for label, pilot in PILOTS.items()}
    flown: dict[str, list[Episode]] = {label: [] for label in pilots}
    for number in range(size.episodes):
        for label, pilot in pilots.items():
            flown[label].append(fly(environment, pilot, SEED + seed + number))
    return {'episodes': size.episodes, **{label: summary(e) for label, e in flown.items()}}


def page(results: Results) -> Iterable[str]:
    """What is flown, a table of every environment, and what others report."""
    yield (
        'Every controller reads the state of the environment and answers with a control, which '
        'the environment holds for the `dt` of the problem; the return is the sum of the rewards '
        "that the environment gives. The model is read from the environment's own XML, or is its "
        'published equations; the objective is a quadratic one, with residuals, that was stated '
        'for the reward and is the same for both controllers. Weights were chosen on other seeds '
        f'than these. *{OURS}*: `Controller.classical` with {STARTS} random starts for its first '
        'plan, without a network. '
        f'*{CONVERGED}*: box-iLQR to convergence at every tick, from {STARTS} starts at the first '
        '(not real time). CPU milliseconds on one core.'
    )
    for name, figures in results.items():
        yield f'## {name}'
        if 'absent' in figures:
            yield f'Not flown: {figures["absent"]}.'
            continue
        yield table(HEADINGS, [_row(figures, label) for label in PILOTS])
        if name in PUBLISHED:
            returns, source = PUBLISHED[name]
            others = ', '.join(f'{label} {value:g}' for label, value in returns.items())
            yield f'Others report: {others} ({source}).'
    yield NOTES


NOTES = (
    '## What the figures do not say\n\n'
    '- A first plan with random starts takes longer than a tick (the table tells): it is made '
    "before the flight. Without them, the pendulum's return is -222.\n"
    '- The controllers know the equations. What others report was learned from rewards, most of '
    'it from observations: it is of the same task, not of the same knowledge.\n'
    '- safe-control-gym itself needs older packages. Its equations, weights, bounds and starts '
    'are used here, integrated at 1 kHz by RK4.\n'
    '- The state is read from the simulator. Observations tell it too, but for turns of angles.\n'
    '\n'
    "`pip install 'trc[environments]'` brings the packages, with MuJoCo 3.17: dm_control 1.0.50 "
    "fails with MuJoCo 4.0 (`'MjModel' object has no attribute 'flex_vertedge'`), so that they "
    'belong into an environment of their own.'
)


def _row(figures: Figures, label: str) -> list[str]:
    own, other = figures[label], figures[CONVERGED]['return']
    share = own['return'] / other if other > 0 else other / own['return']
    return [
        label,
        *(f'{own[name]:.1f}' for name in ('return', 'deviation', 'lowest')),
        f'{share:.3f}',
        f'{own["violations"]:.1f}',
        *(f'{own[name]:.2f}' for name in ('ms p50', 'ms p99', 'first ms')),
        str(figures['episodes']),
    ]


def draw(results: Results) -> Any:
    """Returns as shares of that of converged MPC, beside what others report."""
    from matplotlib.figure import Figure

    flown = {name: f for name, f in results.items() if 'absent' not in f}
    figure = Figure(figsize=(10, 0.8 + 1.1 * max(len(flown), 1)))
    for axes, (name, figures) in zip(
        figure.subplots(max(len(flown), 1), 1, squeeze=False)[:, 0], flown.items(), strict=False
    ):
        returns = {label: figures[label]['return'] for label in PILOTS}
        returns |= PUBLISHED.get(name, ({}, ''))[0]
        colours = ['tab:blue', 'tab:orange', *['tab:gray'] * len(returns)]
        axes.barh(list(returns), list(returns.values()), color=colours[: len(returns)])
        axes.invert_yaxis()
        axes.set_title(name, fontsize=8)
        axes.tick_params(labelsize=7)
    figure.tight_layout()
    return figure


EXPERIMENT = Experiment(
    'environments',
    'returns in environments of dm_control, Gymnasium and safe-control-gym, beside converged MPC',
    Size(),
    FULL,
    units,
    page,
    draw,
)
