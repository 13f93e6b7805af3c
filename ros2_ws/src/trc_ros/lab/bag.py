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

    def knows(self, kind: type) -> bool:
        """Whether messages of this type can be written."""
        return name_of(kind) in self._typestore.fielddefs

    def note(self, name: str, text: str) -> None:
        """Keeps a text among the metadata, in `custom_data`; before the bag is closed."""
        self._writer.set_custom_data(name, text)

    def write(self, topic: str, kind: type, time: int, data: bytes) -> None:
        """Appends one serialised message; `time` in nanoseconds since the epoch."""
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, name_of(kind), typestore=self._typestore
            )
        self._writer.write(self._connections[topic], time, data)

    def close(self) -> None:
        """Completes the bag."""
        self._writer.close()


def name_of(kind: type) -> str:
    """The name of a message type, like 'std_msgs/msg/String'."""
    return f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}'
