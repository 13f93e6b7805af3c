"""Picture of a replay: states, both commands, and their difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from trc_core.problem.system import Array
from trc_ros.lab.plot_style import CONTROL, PREDICTED, STATE, STYLE, label
from trc_ros.lab.replay.comparison import Comparison


def draw(comparison: Comparison, path: Path) -> None:
    """Draws the picture into a file."""
    import matplotlib as mpl

    mpl.use('Agg')
    import matplotlib.pyplot as plt

    system, times = comparison.system, comparison.times
    rows = system.n_x + 2 * system.n_u
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            rows, 1, figsize=(9.0, 1.2 + 1.5 * rows), sharex=True, squeeze=False
        )
        panels = iter(axes[:, 0])
        for i in range(system.n_x):
            axis = next(panels)
            axis.plot(times, comparison.states[:, i], color=STATE)
            axis.set_ylabel(label(system.state_names[i], system.state_units[i]))
        for j in range(system.n_u):
            name = label(system.control_names[j], system.control_units[j])
            _commands(next(panels), times, comparison, j, name)
            axis = next(panels)
            axis.plot(times, _drawn(comparison.difference[:, j]), color=PREDICTED)
            axis.set_ylabel('difference')
        axes[-1, 0].set_xlabel('time [s]')
        figure.suptitle(f'{comparison.title}: commands as recorded and now')
        figure.tight_layout()
        figure.savefig(path, dpi=110)
        plt.close(figure)


def _commands(axis: Any, times: Array, comparison: Comparison, j: int, name: str) -> None:
    axis.step(
        times, comparison.recorded[:, j], where='post', color=CONTROL, lw=2.4, label='recorded'
    )
    axis.step(
        times, comparison.now[:, j], where='post', color=PREDICTED, lw=1.0, ls='--', label='now'
    )
    axis.set_ylabel(name)
    axis.legend(loc='upper right', ncols=2)


def _drawn(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.nan)
