"""Work of a thread that a coroutine of the executor waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from rclpy.executors import Executor
from rclpy.task import Future

from trc_ros.controller.realtime import leave_realtime_class


def run_in_thread(work: Callable[[], Any], executor: Executor) -> Future:
    """Runs `work` in a thread of its own; the future holds its result or exception."""
    future = Future(executor=executor)

    def run() -> None:
        leave_realtime_class()
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)
        executor.wake()

    threading.Thread(target=run, name='background', daemon=True).start()
    return future
