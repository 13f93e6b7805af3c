"""What only measures: demo, fault campaign, loop benchmark, flights over ROS."""
