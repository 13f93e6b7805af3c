"""Provenance of figures: date, machine, load and versions."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from trc_core.numerics.parallel import cores

PACKAGES = (
    'trc',
    'numpy',
    'numba',
    'torch',
    'onnxruntime',
    'casadi',
    'daqp',
    'osqp',
    'do-mpc',
    'scipy',
)
BRIEF = ('date', 'CPU', 'cores', 'python', 'torch', 'numpy', 'numba')
FLOWN = ('trc', 'CPU', 'python', 'numpy', 'numba')


def describe() -> dict[str, str]:
    """The date, the machine and the versions, by name."""
    return {
        'date': datetime.now(timezone.utc).strftime('%Y-%m-%d %H:%M UTC'),
        'CPU': _cpu_model(),
        'cores': f'{cores()} of {os.cpu_count()}',
        'L2 cache': read('/sys/devices/system/cpu/cpu0/cache/index2/size'),
        'governor': read('/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor'),
        'kernel': platform.release(),
        'python': platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
    }


def brief() -> dict[str, str]:
    """The part of `describe` that matters to figures that are not times."""
    found = describe()
    return {name: found[name] for name in BRIEF}


def flown() -> dict[str, str]:
    """The part of `describe` on which the last bit of a plan may depend."""
    found = {'CPU': _cpu_model(), 'python': platform.python_version()}
    return {name: found.get(name) or _version(name) for name in FLOWN}


def load() -> str:
    """The load averages over 1, 5 and 15 minutes."""
    return ' '.join(f'{value:.2f}' for value in os.getloadavg())


def table(origin: Mapping[str, object]) -> str:
    """The head of a page of figures: a Markdown table of names and values."""
    return '\n'.join(['| | |', '|---|---|', *(f'| {k} | {v} |' for k, v in origin.items())])


def read(path: str) -> str:
    """A file of the kernel, or that it cannot be read."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return 'not readable'


def _cpu_model() -> str:
    for line in read('/proc/cpuinfo').splitlines():
        if line.startswith('model name'):
            return line.partition(':')[2].strip()
    return platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return 'not installed'
