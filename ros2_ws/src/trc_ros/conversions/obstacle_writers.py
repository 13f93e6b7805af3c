"""Writers of obstacles, as markers."""

from __future__ import annotations

from collections.abc import Sequence

from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from trc_core.flight.obstacles import Obstacle
from trc_ros.conversions.stamps import stamp_at

COLOUR = ColorRGBA(r=0.5, g=0.5, b=0.6, a=0.6)
HEIGHT = 0.3  # [m]


def obstacle_markers(
    obstacles: Sequence[Obstacle], time: float, first: int = 0, anew: bool = False
) -> MarkerArray:
    """Cylinders where obstacles are at a time [s].

    Args:
        obstacles: any number.
        time: of their places, and of the stamps.
        first: id of the first marker; the others count on.
        anew: markers that were there before are deleted.
    """
    markers = [Marker(action=Marker.DELETEALL)] if anew else []
    for number, obstacle in enumerate(obstacles, first):
        marker = Marker(ns='obstacles', id=number, type=Marker.CYLINDER, color=COLOUR)
        marker.header.stamp = stamp_at(round(1e9 * time))
        place = marker.pose.position
        place.x, place.y, place.z = obstacle.at(time)
        marker.scale.x = marker.scale.y = 2.0 * obstacle.radius
        marker.scale.z = HEIGHT
        markers.append(marker)
    return MarkerArray(markers=markers)
