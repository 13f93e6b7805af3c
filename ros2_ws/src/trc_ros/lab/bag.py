"""MCAP bags of messages as they came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore


class Bag:
    """Writes one MCAP bag."""

    def __init__(self, path: Path) -> None:
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._typestore = get_typestore(Stores.ROS2_JAZZY)
        self._connections: dict[str, Any] = {}
        self._writer.open()

    def write(self, topic: str, kind: type, time: int, data: bytes) -> None:
        """Appends one serialised message; `time` in nanoseconds since the epoch."""
        if topic not in self._connections:
            name = f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}'
            self._connections[topic] = self._writer.add_connection(
                topic, name, typestore=self._typestore
            )
        self._writer.write(self._connections[topic], time, data)

    def close(self) -> None:
        """Completes the bag."""
        self._writer.close()
