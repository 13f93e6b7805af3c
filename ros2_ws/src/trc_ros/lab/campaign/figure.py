"""Figures of a campaign: the overview, and the picture of one recovery."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use('Agg')  # no display needed

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from trc_ros.lab.campaign.contract import Contract
from trc_ros.lab.campaign.disturbances import DISTURBANCES
from trc_ros.lab.campaign.report import contract_times
from trc_ros.lab.campaign.store import Store
from trc_ros.lab.campaign.trial import Trial
from trc_ros.lab.plot_style import BOUND, CONTROL, GOAL, INK, PREDICTED, STATE, STYLE, label

FAULT = '#fa5252'
COLOURS = {
    'tail': '#1c7ed6',
    'lqr': '#0f9d76',
    'hold': '#f59f00',
    'zero': '#ae3ec9',
    'none': '#868e96',
}
SAFETY_COLOURS = {
    'waiting': '#ced4da',
    'inactive': '#e9ecef',
    'active': '#8ce99a',
    'degraded': '#ffe066',
    'fallback': '#ffa8a8',
}
BEFORE, AFTER = 0.3, 2.0  # [s] shown before the fault and after the recovery, at most


def draw_overview(store: Store, path: Path) -> None:
    """Writes both times of every trial to `path` (PNG); failed ones are crosses."""
    names = [name for name in DISTURBANCES if any(fault == name for _, fault in store.verdicts)]
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            1, 2, sharey=True, figsize=(11, 0.36 * len(names) + 1.6), layout='constrained'
        )
        for axes, quantity, title in zip(
            panels,
            ('safe_after', 'recovered_after'),
            ('from the fault to the first safe command', 'from its end to recovery'),
            strict=True,
        ):
            draw_times(axes, store, names, quantity)
            axes.set_title(title, loc='left', fontsize=10)
            axes.set_xlabel('time [ms]')
        panels[0].axvline(contract_times(store)['deadline'], color=INK, lw=1, ls=(0, (4, 3)))
        panels[0].set_yticks(range(len(names)), [name.replace('_', ' ') for name in names])
        panels[0].set_ylim(len(names) - 0.4, -0.6)
        figure.legend(*panels[0].get_legend_handles_labels(), loc='outside upper right', ncols=5)
        figure.savefig(path, dpi=90)
        plt.close(figure)


def draw_times(axes: Axes, store: Store, names: list[str], quantity: str) -> None:
    """A point for each trial, on a logarithmic axis."""
    fallbacks = list(dict.fromkeys(fallback for fallback, _ in store.verdicts))
    for n, fallback in enumerate(fallbacks):
        for passed, marker in ((True, 'o'), (False, 'X')):
            chosen = [
                (1e3 * getattr(v, quantity), names.index(v.fault))
                for v in store.verdicts.values()
                if v.fallback == fallback and v.passed is passed and getattr(v, quantity)
            ]
            times, rows = np.array(chosen).reshape(-1, 2).T
            shift = 0.13 * (n - (len(fallbacks) - 1) / 2)
            axes.plot(
                times,
                rows + shift,
                marker,
                color=COLOURS[fallback],
                ms=5 if passed else 9,
                label=fallback if passed else None,
            )
    axes.set_xscale('log')


def draw_recovery(trial: Trial, contract: Contract, path: Path) -> None:
    """Writes states, commands and safety states around a fault to `path` (PNG)."""
    system, zero = contract.system, trial.began
    rows = system.n_x + system.n_u
    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(
            rows + 1,
            1,
            sharex=True,
            figsize=(10, 1.75 * rows + 1.6),
            height_ratios=[*[1.0] * rows, 0.22],
            layout='constrained',
        )
        for i, axes in enumerate(panels[: system.n_x]):
            draw_state(axes, trial, contract, i)
        for j, axes in enumerate(panels[system.n_x : rows]):
            draw_command(axes, trial, contract, j)
        draw_safety(panels[-1], trial)
        for axes in panels[:-1]:
            axes.axvspan(0.0, trial.ended - zero, color=FAULT, alpha=0.1, lw=0)
        panels[-1].set_xlim(-BEFORE, end_of(trial) - zero)
        panels[-1].set_xlabel('time since the fault began [s]')
        figure.legend(*panels[0].get_legend_handles_labels(), loc='outside upper right', ncols=3)
        name = system.name.replace('_', ' ')
        title = f"{name}: fault '{trial.fault}', fallback '{trial.fallback}'"
        figure.suptitle(title, fontsize=12, fontweight='bold', x=0.01, ha='left')
        figure.savefig(path, dpi=100)
        plt.close(figure)


def end_of(trial: Trial) -> float:
    """End of the picture [s since the epoch]."""
    again = [h.sent for h in trial.horizons if h.start >= trial.ended]
    return min((again[0] if again else trial.ended) + AFTER, trial.commands.times[-1])


def draw_state(axes: Axes, trial: Trial, contract: Contract, i: int) -> None:
    """Draws a coordinate as published, and as the last plan before recovery predicted it."""
    system, zero = contract.system, trial.began
    states = trial.states
    times = np.where(gaps(states.times), np.nan, states.times - zero)
    axes.plot(times, states.values[:, i], color=STATE, lw=4, label='state, as published')
    if trial.blind_from >= 0:
        last = trial.horizons[trial.blind_from]
        predicted = last.start - zero + system.dt * np.arange(system.horizon + 1)
        shown = predicted <= end_of(trial) - zero
        x = last.states[shown, i]
        axes.plot(predicted[shown], x, color=PREDICTED, lw=1.2, label='last plan before recovery')
    axes.axhline(trial.goal[i], color=GOAL, lw=1.2, ls=(0, (4, 3)), label='goal')
    axes.set_ylabel(label(system.state_names[i], system.state_units[i]))


def gaps(times: np.ndarray) -> np.ndarray:
    """(N,) whether nothing was published for a while before; no line is drawn across."""
    steps = np.diff(times, prepend=times[:1])
    return (steps > 5 * np.median(steps)) | (steps < 0.0) if len(times) else steps > 0


def draw_command(axes: Axes, trial: Trial, contract: Contract, j: int) -> None:
    """A control and its limits."""
    system, zero = contract.system, trial.began
    commands = trial.commands
    axes.step(commands.times - zero, commands.values[:, j], where='post', color=CONTROL, lw=1.6)
    axes.axhline(contract.low[j], color=BOUND, lw=1)
    axes.axhline(contract.high[j], color=BOUND, lw=1)
    axes.set_ylabel(label(system.control_names[j], system.control_units[j]))


def draw_safety(axes: Axes, trial: Trial) -> None:
    """A band for the safety state that diagnostics report; a name on each that has room."""
    zero, end = trial.began, end_of(trial)
    said = trial.diagnoses
    moments = [*(d.time for d in said), end]
    starts = [k for k, d in enumerate(said) if k == 0 or said[k - 1].state != d.state]
    for k, after in zip(starts, [*starts[1:], len(said)], strict=True):
        left, right = max(moments[k] - zero, -BEFORE), min(moments[after], end) - zero
        state = said[k].state
        if right <= left:
            continue
        axes.axvspan(left, right, color=SAFETY_COLOURS[state], lw=0)
        if right - left > 0.2:
            axes.text((left + right) / 2, 0.5, state, ha='center', va='center', fontsize=9)
    axes.set_yticks([])
    axes.set_ylim(0.0, 1.0)
    axes.grid(visible=False)
