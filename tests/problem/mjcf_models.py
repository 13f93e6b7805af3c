"""MJCF models, as texts: textbook plants of published constants, and one with everything."""

CARTPOLE = """<mujoco model="cart_and_pole">
<option gravity="0 0 -9.81"/>
<default><joint damping="0"/><geom contype="0" conaffinity="0"/></default>
<worldbody>
  <body name="cart" pos="0 0 1">
    <joint name="slider" type="slide" axis="1 0 0" limited="true" range="-1.8 1.8"/>
    <geom type="box" size="0.2 0.15 0.1" mass="1"/>
    <body name="pole">
      <joint name="hinge" type="hinge" axis="0 1 0"/>
      <inertial pos="0 0 0.5" mass="0.1" diaginertia="0.00833333333333 0.00833333333333 1e-9"/>
      <site name="end" pos="0 0 1"/>
    </body>
  </body>
</worldbody>
<actuator>
<motor name="slide" joint="slider" gear="10" ctrllimited="true" ctrlrange="-1 1"/>
</actuator>
</mujoco>"""
# Links of 1 m and 1 kg, centres in their middle, 1 kg m^2 about them (Sutton and Barto's acrobot).
ACROBOT = """<mujoco model="acrobot">
<option gravity="0 0 -9.8"><flag contact="disable"/></option>
<worldbody>
  <geom type="plane" size="2 2 0.1"/>
  <body name="upper" pos="0 0 2">
    <joint name="shoulder" axis="0 1 0"/>
    <inertial pos="0 0 -0.5" mass="1" diaginertia="1 1 1"/>
    <geom type="capsule" fromto="0 0 0 0 0 -1" size="0.05" mass="0"/>
    <body name="lower" pos="0 0 -1">
      <joint name="elbow" axis="0 1 0"/>
      <inertial pos="0 0 -0.5" mass="1" diaginertia="1 1 1"/>
    </body>
  </body>
</worldbody>
<actuator><motor joint="elbow" ctrllimited="true" ctrlrange="-1 1" gear="5"/></actuator>
</mujoco>"""
EVERYTHING = """<mujoco model="everything">
<compiler angle="degree" autolimits="true"/>
<option gravity="0.1 0.2 -9.7"><flag contact="disable"/></option>
<asset><mesh name="tetrahedron" vertex="0 0 0  1 0 0  0 1 0  0 0 1" scale="0.3 0.3 0.3"/></asset>
<default><joint damping="0.12"/></default>
<worldbody>
  <geom type="plane" size="1 1 0.1"/>
  <body name="base" pos="0.1 0.2 0.3" euler="10 20 30"><geom size="0.1"/>
    <body name="several" pos="0.12 0 0" euler="5 6 7">
      <joint name="first" axis="1 2 3" pos="0.1 0.2 0.3" ref="20" armature="0.1"/>
      <joint name="second" type="slide" axis="1 0 0" pos="0.3 0.2 0.1" ref="0.3" stiffness="5"
             springref="0.1"/>
      <joint name="third" axis="1 0 3" pos="0 -0.2 0.3" ref="-33" stiffness="0.7"/>
      <geom type="mesh" mesh="tetrahedron"/>
      <body name="welded" pos="0 0 1" euler="1 2 3"><geom size="0.1"/>
        <site name="end" pos="0.01 0 0.11" euler="3 4 5"/>
        <body pos="0.1 0.2 0.3" euler="90 20 10">
          <joint name="fourth" pos="0 0.1 0" axis="1 1 0" range="-150 160"/>
          <geom type="box" size="0.1 0.2 0.3" euler="10 20 30"/>
        </body>
      </body>
      <body pos="-0.1 0.2 0.3" euler="90 20 10">
        <joint name="fifth" type="slide" pos="0 0.1 0.3" axis="1 -1 0" ref="0.12"/>
        <geom type="box" size="0.1 0.2 0.3" euler="10 20 30"/>
      </body>
    </body>
  </body>
</worldbody>
<actuator>
  <motor joint="first" gear="1000" ctrlrange="-1 2"/>
  <motor joint="fourth" gear="-2" ctrlrange="-100 100" forcerange="-40 60"/>
</actuator>
<sensor><jointpos joint="first"/></sensor>
<keyframe><key qpos="0.1 0.2 0 0 0"/></keyframe>
</mujoco>"""
