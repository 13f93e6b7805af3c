"""Compiled kernels: plain Python functions over numbers and arrays, compiled by Numba once.

A kernel is marked `register_jitable` and takes its plant as an argument (`compile.plant`), so
that one compilation serves all plants. What is compiled is a small module in the user's cache
folder whose name holds the hash of every source that the kernel imports: Numba's disk cache then
works, and can never be stale.

LLVM writes two versions of a loop over arrays that might overlap, in vectors and one by one, and
the distance between the arrays in memory says which of them runs. They do not round alike, so that
a plan would depend on where the allocator had room: here such a loop has one version. Loops that
need no such check, as sums do not, are vectors all the same.

Where Numba has inlined a function it removes stores into arrays that are not read any more, and it
does not know every name of an array: `pair.rho[i] = 1.0` was gone where the tuple `pair` is no
argument, and so was `J[n] = 1.0` behind `a, b, c, J = x, y, z, found.J`. Here every store is kept.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from types import ModuleType
from typing import Any

import llvmlite.binding as llvm
from numba.core import ir, ir_utils
from numba.core.compiler_lock import global_compiler_lock

from trc_core.compile.cache import cache_folder
from trc_core.compile.sealed_cache import seal
from trc_core.whole_files import alone, notice_damage, write_whole

PACKAGE = Path(__file__).parents[1]
STARTED = time.time()
OVERLAP_CHECKS = '-vectorize-memory-check-threshold={}'  # of LLVM: more are not worth a vector
NO_CHECKS, USUAL_CHECKS = 0, 128
BINDINGS = threading.Lock()
LONGEST_COMPILATION = 300.0  # [s] of another process that one waits for
BINDING = """# with a cache of sealed files, one version of every loop, and every store
from numba import njit

from {module} import {kernel} as kernel


@njit(cache=True, nogil=True, fastmath={{'reassoc', 'contract', 'arcp', 'nsz'}})
def {kernel}({arguments}):
    return kernel({arguments})
"""


@cache
def compiled(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel, compiled at its first call and cached on disk."""
    source = BINDING.format(
        module=kernel.__module__,
        kernel=kernel.__name__,
        arguments=', '.join(inspect.signature(kernel).parameters),
    )
    digest = _digest(source, *_sources(kernel.__module__))
    return _dispatcher(kernel.__name__, digest, source)


def _compiled_once(dispatcher: Any) -> Callable[[Any], Any]:
    """`dispatcher.compile` for one process at a time, the others find what it made in the cache.

    Every loop has one version, and every store is kept; what others compile in this process is as
    it always was. Both are options of the process: another thread must not set them back before
    this one is done.
    """
    compile_signature, binding = dispatcher.compile, Path(dispatcher.py_func.__code__.co_filename)

    @wraps(compile_signature)
    def compile_alone(signature: Any) -> Any:
        with alone(binding, LONGEST_COMPILATION), global_compiler_lock, _every_store():
            llvm.set_option('', OVERLAP_CHECKS.format(NO_CHECKS))
            try:
                return compile_signature(signature)
            finally:
                llvm.set_option('', OVERLAP_CHECKS.format(USUAL_CHECKS))

    return compile_alone


@contextmanager
def _every_store() -> Iterator[None]:
    """Numba takes no store for dead, which it does where an array has names it does not follow."""
    ir_utils.remove_dead_extensions[ir.SetItem] = _kept
    try:
        yield
    finally:
        ir_utils.remove_dead_extensions.pop(ir.SetItem, None)


def _kept(store: Any, lives: set[str], lives_and_aliases: set[str], *_: Any) -> Any:
    """The store, into an array that is said to be read later."""
    lives_and_aliases.add(store.target.name)
    return store


def is_compiled(function: Callable[..., Any]) -> bool:
    """Whether machine code of what `compiled` returned is there: loaded, or kept on disk."""
    dispatcher: Any = function
    if dispatcher.signatures:
        return True
    binding = Path(dispatcher.py_func.__code__.co_filename)
    return any((binding.parent / '__pycache__').glob(f'{binding.stem}.*.nbi'))


def _dispatcher(stem: str, digest: str, source: str) -> Any:
    """The function of a binding, the same one for all threads of this process."""
    name = f'trc_compiled_{stem}_{digest}'
    with BINDINGS:
        if name not in sys.modules:
            module = _module_from_source(name, source)
            function = getattr(module, stem)
            seal(function)
            function.compile = _compiled_once(function)
            sys.modules[name] = module
        return getattr(sys.modules[name], stem)


def _module_from_source(name: str, source: str) -> ModuleType:
    path = cache_folder() / f'{name}.py'
    if path.exists() and path.read_bytes() != source.encode():
        notice_damage(path)
        path.unlink()
    if not path.exists():
        write_whole(path, source.encode())
    module = ModuleType(name)
    module.__file__ = str(path)
    exec(compile(source, str(path), 'exec'), module.__dict__)  # no .pyc that could be damaged
    return module


def _sources(module: str) -> Iterator[str]:
    """Every source that a kernel's module is compiled from: its own and what that imports.

    Where one of them changed since this process began, what it compiles is no longer what the
    files say: nobody else may find that in the cache.
    """
    paths = sorted(closure(module))
    yield from (path.read_text() for path in paths)
    if any(path.stat().st_mtime > STARTED for path in paths):
        yield str(STARTED)


def closure(module: str) -> set[Path]:
    """The files of this package that a module imports at its top, and those that they import."""
    found: set[Path] = set()
    pending = [module]
    while pending:
        path = _path(pending.pop())
        if path is not None and path not in found:
            found.add(path)
            pending.extend(_imported(path))
    return found


def _path(module: str) -> Path | None:
    """The file of a module of this package; packages themselves hold no kernels."""
    package, *rest = module.split('.')
    path = PACKAGE.joinpath(*rest).with_suffix('.py')
    return path if package == PACKAGE.name and path.is_file() else None


@cache
def _imported(path: Path) -> tuple[str, ...]:
    names = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f'{node.module}.{alias.name}' for alias in node.names)]
    return tuple(names)


def _digest(*sources: str) -> str:
    return hashlib.sha256('\0'.join(sources).encode()).hexdigest()[:16]
