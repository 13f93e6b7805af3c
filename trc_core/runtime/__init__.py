"""What runs on the robot: NumPy, Numba and safetensors."""
