"""A cart swings its pole up from hanging and balances it, on a rail of 1.8 m to either side.

Source: dm_control, suite/cartpole.xml and cartpole.py, task swingup: masses, sizes, damping,
motor, start. The reward there is no square; this cost asks for the same.
Run: trc exam dmc_cartpole
"""

import numpy as np

from trc_core import System

START = [0.01, np.pi - 0.01, 0.0, 0.01]
MODEL = """
<mujoco model="dmc_cartpole">
  <option><flag contact="disable"/></option>
  <worldbody>
    <body name="cart">
      <joint name="slider" type="slide" axis="1 0 0" range="-1.8 1.8" damping="5e-4"/>
      <geom type="box" size="0.2 0.15 0.1" mass="1"/>
      <body name="pole">
        <joint name="hinge" axis="0 1 0" damping="2e-6"/>
        <geom type="capsule" fromto="0 0 0 0 0 1" size="0.045" mass="0.1"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="slider" gear="10" ctrlrange="-1 1"/></actuator>
</mujoco>
"""

cartpole = System.from_mjcf(
    MODEL,
    dt=0.04,
    horizon=75,
    Q=[1.0, 5.0, 0.05, 0.1],
    R=[0.01],
    x0_box=[[-0.1, np.pi - 0.1, -0.1, -0.1], [0.1, np.pi + 0.1, 0.1, 0.1]],
    goal_box=np.zeros(4),
    goal_tolerance=[0.25, 0.1, 0.5, 0.5],
)
