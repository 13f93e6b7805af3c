"""The ROS 2 nodes of `trc`: `controller` and `plant`."""
