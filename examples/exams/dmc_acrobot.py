"""An acrobot swings up from anywhere with 2 N m at its elbow, and stands.

Source: dm_control, suite/acrobot.xml and acrobot.py, task swingup: masses, sizes, damping, motor,
start. The reward there is no square; this cost asks for the same. Run: trc exam dmc_acrobot
"""

import numpy as np

from trc_core import System

START = [np.pi - 0.1, 0.1, 0.0, 0.0]
MODEL = """
<mujoco model="dmc_acrobot">
  <option><flag contact="disable"/></option>
  <default><joint damping="0.05"/><geom type="capsule" mass="1"/></default>
  <worldbody>
    <body name="upper_arm">
      <joint name="shoulder" axis="0 1 0"/>
      <geom fromto="0 0 0 0 0 1" size="0.05"/>
      <body name="lower_arm" pos="0 0 1">
        <joint name="elbow" axis="0 1 0"/>
        <geom fromto="0 0 0 0 0 1" size="0.049"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="elbow" gear="2" ctrlrange="-1 1"/></actuator>
</mujoco>
"""

acrobot = System.from_mjcf(
    MODEL,
    dt=0.05,
    horizon=120,
    Q=[10.0, 10.0, 1.0, 1.0],
    R=[0.1],
    x0_box=[np.pi, np.pi, 0.0, 0.0],
    goal_box=np.zeros(4),
    goal_tolerance=[0.2, 0.2, 0.5, 0.5],
)
