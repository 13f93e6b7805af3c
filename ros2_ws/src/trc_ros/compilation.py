"""Compilation for a node in a process of its own, which fills the cache.

LLVM keeps 500 MB of what it compiles with: they end with that process. The node meanwhile answers
as fast as ever, and can be ended at any time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import Any

from trc_core import Controller
from trc_core.compile.cache import cache_folder
from trc_core.flight.adaptation import ParameterEstimator
from trc_ros.loading import load_controller, why_not_learned

LONG = {'plan_rows'}  # kernels with a network in them; any other one takes 1 to 10 s


def compile_missing(controller: Controller, values: dict[str, Any], logger: Any) -> None:
    """Compiles what a controller still lacks on this computer, and logs how long that takes.

    Args:
        controller: loaded from `values`.
        values: the parameters of the node by name.
        logger: of the node.
    """
    missing = controller.uncompiled
    if not missing:
        return
    minutes = 'one to three minutes, more on a busy computer'
    seconds = minutes if set(missing) & LONG else 'some seconds each'
    logger.info(f'compiling {", ".join(sorted(missing))}, once on this computer: {seconds}')
    if failure := _compile_apart(values):
        logger.warning(f'the compiling process failed ({failure}): compiling in this one')


def _compile_apart(values: dict[str, Any]) -> str:
    """Compiles in another process; returns the reason if that failed, else nothing."""
    path = os.pathsep.join(filter(None, sys.path))
    try:
        compiler = subprocess.Popen(
            [sys.executable, '-m', __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C is for the node, whose end is its end
            env={**os.environ, 'PYTHONPATH': path, 'TRC_CACHE_DIR': str(cache_folder())},
        )
        assert compiler.stdin is not None and compiler.stderr is not None
        with compiler, compiler.stdin:  # open as long as this process lives
            print(json.dumps(values, default=list), file=compiler.stdin, flush=True)
            errors = compiler.stderr.read().strip().splitlines()
    except OSError as error:
        return str(error)
    return [f'code {compiler.returncode}', *errors][-1] if compiler.returncode else ''


def main() -> None:
    """Compiles for the parameters that come as a line of JSON, unless its parent ends."""
    values = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    controller = load_controller(values)
    if values['adaptation.enabled'] and not why_not_learned(controller, values):
        ParameterEstimator(controller.system).warm_up()
    controller.warm_up()


def _end_with_parent() -> None:
    while os.read(0, 1):  # until nobody holds the other end; unbuffered, to end with `main`
        pass
    os._exit(1)


if __name__ == '__main__':
    main()
