"""Compiled kernels: a function over `step` and `step_jacobian`, bound to one system.

A kernel is a plain Python function `kernel(step, step_jacobian, ...)` marked `register_jitable`.
`compiled(kernel, system)` binds the system's generated code and compiles the whole for Numba.
The binding is a small module in the user's cache folder whose name holds the hash of every
source that it depends on: Numba's disk cache then works, and can never be stale.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from trc_core.problem.system import System

PACKAGE = Path(__file__).parents[1]
STARTED = time.time()
SHIPPED = 'trc_core.systems'
GENERATED = PACKAGE / 'systems' / 'generated'
BINDING = """from numba import njit

from {kernel_module} import {kernel} as kernel
from {system_module} import step, step_jacobian


@njit(cache=True, nogil=True, fastmath={{'reassoc', 'contract', 'arcp', 'nsz'}})
def {kernel}({arguments}):
    return kernel(step, step_jacobian, {arguments})
"""


def compiled(kernel: Callable[..., Any], system: System) -> Callable[..., Any]:
    """`kernel` with its first two arguments bound to `system`, compiled and cached on disk."""
    return _bind(kernel, system.functions)


def is_compiled(function: Callable[..., Any]) -> bool:
    """Whether machine code of what `compiled` returned is there: loaded, or kept on disk."""
    dispatcher: Any = function
    if dispatcher.signatures:
        return True
    binding = Path(dispatcher.py_func.__code__.co_filename)
    return any((binding.parent / '__pycache__').glob(f'{binding.stem}.*.nbi'))


@cache
def _bind(kernel: Callable[..., Any], functions: ModuleType) -> Callable[..., Any]:
    arguments = list(inspect.signature(kernel).parameters)
    if arguments[:2] != ['step', 'step_jacobian']:
        raise ValueError(f'{kernel.__name__} must take step and step_jacobian first')
    source = BINDING.format(
        kernel_module=kernel.__module__,
        kernel=kernel.__name__,
        system_module=functions.__name__,
        arguments=', '.join(arguments[2:]),
    )
    digest = _digest(source, inspect.getsource(functions), _kernel_sources())
    stem = f'{functions.__name__.rsplit(".", 1)[-1]}_{kernel.__name__}'
    return getattr(_module_from_source(stem, digest, source), kernel.__name__)


def generated_module(system: System) -> ModuleType:
    """The generated code of a system: the committed file if it ships, else made and cached."""
    shipped = shipped_module(system)
    if shipped is not None:
        return shipped
    from trc_core.compile.codegen import numba_source

    source = numba_source(system)
    return _module_from_source(system.name, _digest(source), source)


def shipped_module(system: System) -> ModuleType | None:
    """The committed code of a system; None where there is none that fits it."""
    package, _, stem = system.dynamics.__module__.rpartition('.')
    if package != SHIPPED or not (GENERATED / f'{stem}.py').exists():
        return None
    shipped = importlib.import_module(f'{package}.generated.{stem}')
    return shipped if signature(system) == shipped.SIGNATURE else None


def signature(system: System) -> tuple[int, int, tuple[str, ...]]:
    """What generated code takes: numbers of states and controls, names of the parameters."""
    return system.n_x, system.n_u, tuple(system.parameters)


def cache_folder() -> Path:
    """Where bindings and machine code are kept: `TRC_CACHE_DIR`, else the user's cache."""
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    folder = Path(os.environ.get('TRC_CACHE_DIR') or Path(base) / 'trc')
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a read-only home is normal on robots
        return _private_folder()
    return folder if os.access(folder, os.W_OK) else _private_folder()


@cache
def _private_folder() -> Path:
    """Compiled code lives here for this process only."""
    return Path(tempfile.mkdtemp(prefix='trc-'))


def _module_from_source(stem: str, digest: str, source: str) -> ModuleType:
    name = f'trc_compiled_{stem}_{digest}'
    if name in sys.modules:
        return sys.modules[name]
    path = cache_folder() / f'{name}.py'
    if not path.exists() or path.read_text() != source:
        temporary = path.with_name(f'{name}.{os.getpid()}.tmp')
        temporary.write_text(source)
        temporary.replace(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@cache
def _kernel_sources() -> str:
    """Every source that compiled code can depend on: kernels, and the tuples they take.

    Where one of them changed since this process began, what it compiles is no longer what the
    files say: nobody else may find that in the cache.
    """
    paths = sorted(PACKAGE.rglob('*.py'))
    texts = [path.read_text() for path in paths]
    kernels = ''.join(text for text in texts if 'register_jitable' in text or 'NamedTuple' in text)
    changed = any(path.stat().st_mtime > STARTED for path in paths)
    return f'{kernels} {os.getpid()} {STARTED}' if changed else kernels


def _digest(*sources: str) -> str:
    return hashlib.sha256('\0'.join(sources).encode()).hexdigest()[:16]
