"""Laboratory of the nodes: demo, fault campaign, loop benchmark, evaluation over ROS 2."""
