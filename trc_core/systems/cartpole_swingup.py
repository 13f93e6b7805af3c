"""The cart-pole from any angle: more force, and the pole has to be swung up first."""

from dataclasses import replace

from trc_core.systems.cartpole import cartpole

cartpole_swingup = replace(
    cartpole,
    name='cartpole_swingup',
    u_min=[-20.0],
    u_max=[20.0],
    x0_box=[1.0, 1.0, 3.141592653589793, 1.0],
    goal_box=[0.0, 0.0, 0.0, 0.0],
)
