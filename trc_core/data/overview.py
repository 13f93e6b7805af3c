"""Overview of a dataset: a few lines of numbers and one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trc_core.data.durations import lengths_of
from trc_core.data.trajectories import TrajectoryData
from trc_core.numerics.cost import is_success
from trc_core.whole_files import whole_file

ACTIVE = 1e-6  # share of the control range within which a bound counts as active
FREE_ACTIVE = 1e-3  # the same of the length of a vector, which interior points only come near
SHOWN = 60


def summary(data: TrajectoryData) -> str:
    """Cost, success, constraint activity and rejected states, in one paragraph."""
    system = data.system
    margin = ACTIVE * (system.u_max - system.u_min)
    u = data.controls
    active = (u <= system.u_min + margin) | (u >= system.u_max - margin)
    for low, high, length in lengths_of(system, u):
        margins = FREE_ACTIVE * (high - low)
        active |= ((length <= low + margins) | (length >= high - margins))[..., None]
    success = is_success(system, data.states, data.target_state).mean()
    timing = f'dt = {system.dt:.4g} s'
    if (seconds := data.duration) is not None:
        spread = f'{seconds.min():.4g} to {seconds.max():.4g} s'
        timing = f'durations {spread}, median {np.median(seconds):.4g} s'
    return (
        f"{len(data)} trajectories of '{system.name}' by the expert '{data.metadata['expert']}', "
        f'T = {system.horizon}, {timing}\n'
        f'cost mean {data.cost.mean():.6g}, median {np.median(data.cost):.6g}, '
        f'max {data.cost.max():.6g}\n'
        f'success {100 * success:.1f} %, a bound is active in {100 * active.mean():.1f} % of the '
        f'controls and in {100 * active.any((1, 2)).mean():.1f} % of the trajectories\n'
        f'not converged and drawn again: {len(data.metadata["rejected"])}'
        f'{_hopeless(data)}{_agreement(data)}'
    )


def _hopeless(data: TrajectoryData) -> str:
    """How many draws a certificate left out, in a line; empty where there are none."""
    count = len(data.metadata.get('hopeless', ()))
    return f'\nleft out, as a proof says that no plan exists: {count}' if count else ''


def _agreement(data: TrajectoryData) -> str:
    """Agreement between the starts of a label, in a line; empty for one start."""
    starts, found = data.metadata.get('starts', 1), data.metadata.get('agreement')
    if starts == 1 or not found:
        return ''
    return (
        f'\n{starts} starts a state: they disagreed in {1 - found["unanimous"]:.1%} of the '
        f'states; on average {found["share"]:.1%} of them found the label'
    )


def draw(data: TrajectoryData, path: Path) -> None:
    """Draws the first trajectories, every state and control over time, to the PNG `path`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    system, shown = data.system, min(SHOWN, len(data))
    seconds = np.full(len(data), system.dt * system.horizon)
    seconds = seconds if data.duration is None else data.duration
    time = np.outer(np.arange(system.horizon + 1) / system.horizon, seconds[:shown])
    figure = Figure(figsize=(7, 1.9 * (system.n_x + system.n_u)), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(system.n_x + system.n_u, 1, sharex=True, squeeze=False)[:, 0]
    style = {'color': 'tab:blue', 'alpha': 0.35, 'linewidth': 0.8}
    for i in range(system.n_x):
        axes[i].plot(time, data.states[:shown, :, i].T, **style)
        axes[i].set_ylabel(f'{system.state_names[i]} [{system.state_units[i]}]')
    for i in range(system.n_u):
        axis = axes[system.n_x + i]
        held = data.controls[:shown, [*range(system.horizon), -1], i]
        axis.step(time, held.T, where='post', **style)
        for bound in (system.u_min[i], system.u_max[i]):
            axis.axhline(bound, color='tab:red', linestyle='--', linewidth=0.8)
        axis.set_ylabel(f'{system.control_names[i]} [{system.control_units[i]}]')
    axes[-1].set_xlabel('time [s]')
    axes[0].set_title(f'{system.name}: {shown} of {len(data)} trajectories')
    with whole_file(path) as temporary:
        figure.savefig(temporary, format='png', dpi=120)
