"""Readers of parameters that change in flight: numbers by name, or obstacles as markers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import JointState
from visualization_msgs.msg import Marker, MarkerArray

from trc_core.flight.obstacles import Numbers, ObstacleField, Parameters
from trc_core.systems import System
from trc_ros.conversions.poses import ANYWHERE, Placement
from trc_ros.conversions.readers import require_names
from trc_ros.conversions.rejection import RejectedInput
from trc_ros.conversions.stamps import own_stamp, seconds_of

ROUND = (Marker.CYLINDER, Marker.SPHERE)
ParameterReader = Callable[[Any, Any, float], Parameters]  # of a message, what held before, now


class NumberReader:
    """Reads parameters from a JointState: names, and a position for each.

    Args:
        system: whose parameters they are.
        placement: not needed, they are nowhere.
    """

    def __init__(self, system: System, placement: Placement = ANYWHERE) -> None:
        self._names = tuple(system.parameters)

    def __call__(self, message: JointState, before: Numbers, now: float) -> Numbers:
        """The numbers before, with those of the message; all others stay.

        Raises:
            RejectedInput: if a name is unknown or there twice, if the numbers are not as many as
                the names, or if one of them is not finite.
        """
        names, numbers = list(message.name), list(message.position)
        require_names(names, self._names, complete=False)
        if len(numbers) != len(names):
            raise RejectedInput('wrong_size', f'{len(names)} names and {len(numbers)} positions')
        for name, number in zip(names, numbers, strict=True):
            if not math.isfinite(number):
                raise RejectedInput('not_finite', f'{name} is {number}')
        return Numbers({**before.values, **dict(zip(names, numbers, strict=True))})


class ObstacleReader:
    """Reads obstacles from cylinders and spheres, whose radius is half of `scale.x`.

    As RViz does, it keeps a marker until it is deleted; one that comes again under the same
    namespace and id has moved. Other markers (texts, lines) are none of its business.

    Args:
        system: declares the obstacles.
        placement: the frame that markers must be in, if there is one.
    """

    def __init__(self, system: System, placement: Placement = ANYWHERE) -> None:
        self._frame_id = placement.frame_id

    def __call__(self, message: MarkerArray, before: ObstacleField, now: float) -> ObstacleField:
        """The obstacles before, changed by the markers; those without a stamp were seen `now`.

        Raises:
            RejectedInput: if a cylinder or a sphere is in another frame, has no radius or no
                finite place, or if there is nothing about obstacles in a message with markers.
        """
        field, used = before, not message.markers
        for marker in message.markers:
            key = (marker.id, marker.ns)
            if marker.action == Marker.DELETEALL:
                field = field.cleared()
            elif marker.action == Marker.DELETE:
                field = field.without(key)
            elif marker.type in ROUND:
                field = self._seen(field, key, marker, now)
            else:
                continue
            used = True
        if not used:
            kinds = sorted({marker.type for marker in message.markers})
            detail = f'markers of type {kinds}; send CYLINDER ({ROUND[0]}) or SPHERE ({ROUND[1]})'
            raise RejectedInput('no_obstacle', detail)
        return field

    def _seen(
        self, field: ObstacleField, key: tuple[int, str], marker: Marker, now: float
    ) -> ObstacleField:
        frame_id = marker.header.frame_id
        if self._frame_id and frame_id != self._frame_id:
            raise RejectedInput('frame', f"'{frame_id}', expected '{self._frame_id}'")
        place, radius = marker.pose.position, marker.scale.x / 2
        centre = (place.x, place.y, place.z)
        if not all(map(math.isfinite, (*centre, radius))):
            detail = f'marker {marker.id} at {centre} with radius {radius}'
            raise RejectedInput('not_finite', detail)
        if radius <= 0.0:
            raise RejectedInput('wrong_size', f'marker {marker.id} has scale.x {marker.scale.x}')
        stamp = own_stamp(marker)
        return field.seen(key, centre, radius, now if stamp is None else seconds_of(stamp))


@dataclass(frozen=True)
class ParameterType:
    """Message type of parameters, its reader, and what holds before any message."""

    kind: type
    make_reader: Callable[..., ParameterReader]
    initial: Callable[[System], Parameters]


PARAMETER_TYPES: dict[str, ParameterType] = {
    'JointState': ParameterType(JointState, NumberReader, lambda system: Numbers()),
    'MarkerArray': ParameterType(MarkerArray, ObstacleReader, ObstacleField),
}
"""For every value of `parameters_type`."""
