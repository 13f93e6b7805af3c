"""Services of the controller: `~/reset`, `~/enable` and `~/reload_model`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from trc_core import Controller
from trc_ros.controller.background import run_in_thread
from trc_ros.controller.flight import Flight
from trc_ros.process import one_line


class Services:
    """Offers the services as long as the node exists; a refusal is one line.

    Args:
        node: owns them.
        flight: the flight to ask, None while there is none.
        load: reads the model anew and makes it ready; called in a thread of its own.
    """

    def __init__(
        self, node: Node, flight: Callable[[], Flight | None], load: Callable[[], Controller]
    ) -> None:
        self._node = node
        self._find_flight = flight
        self._load = load
        self._loading = False
        node.create_service(Trigger, '~/reset', self._reset)
        node.create_service(SetBool, '~/enable', self._enable)
        # In the node's own group, a reload would keep states from being received.
        apart = ReentrantCallbackGroup()
        node.create_service(Trigger, '~/reload_model', self._reload, callback_group=apart)

    def _flight(self) -> Flight:
        flight = self._find_flight()
        if flight is None:
            raise ValueError('the controller is not configured')
        return flight

    def _reset(self, request: Trigger.Request, response: Trigger.Response) -> Any:
        try:
            self._flight().reset()
        except ValueError as error:
            return self._answer(response, False, one_line(error))
        return self._answer(response, True, 'the flight so far is forgotten; waiting for a state')

    def _enable(self, request: SetBool.Request, response: SetBool.Response) -> Any:
        try:
            self._flight().enabled = request.data
        except ValueError as error:
            return self._answer(response, False, one_line(error))
        done = 'planning from the next cycle on' if request.data else 'the safe command flies'
        return self._answer(response, True, done)

    async def _reload(self, request: Trigger.Request, response: Trigger.Response) -> Any:
        """Loads the model in a thread: the executor serves topics meanwhile."""
        try:
            await self._replace_model()
        except Exception as error:
            return self._answer(response, False, f'the old model stays: {one_line(error)}')
        return self._answer(response, True, 'the new model flies from the next cycle on')

    async def _replace_model(self) -> None:
        flight = self._flight()
        if self._loading:
            raise ValueError('a model is being loaded already')
        self._loading = True
        try:
            controller = await run_in_thread(self._load, self._node.executor)
        finally:
            self._loading = False
        if self._flight() is not flight:
            raise ValueError('the controller was configured anew meanwhile')
        flight.replace_controller(controller)

    def _answer(self, response: Any, success: bool, message: str) -> Any:
        logger = self._node.get_logger()
        # Two calls: rclpy ties a severity to the line that logs.
        if success:
            logger.info(message)
        else:
            logger.warning(message)
        response.success, response.message = success, message
        return response
