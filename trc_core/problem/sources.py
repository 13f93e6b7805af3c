"""What a `System` can be made from beside equations: robots, and functions of CasADi."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from trc_core.problem.robot import RobotModel

S = TypeVar('S', bound='Sources')


class Sources:
    """Constructors of `System`; each imports what it needs when it is called."""

    @classmethod
    def from_casadi(
        cls: type[S],
        function: Any,
        *,
        discrete: bool = False,
        parameters: Mapping[str, float] | Sequence[float] = (),
        **words: Any,
    ) -> S:
        """The plant of a `casadi.Function` f(x, u) or f(x, u, p), whose expressions are copied.

        Inputs are known by their names x, u and p, in any order, else by their places. Those
        without entries do not count. Functions of MX are expanded.

        Args:
            function: gives the time derivative of x or, where `discrete`, the state a dt later.
            discrete: which of the two.
            parameters: values of p by name, in the order of p, or the values alone, which are
                called `p_0`, `p_1`, ...
            **words: the other words of `System`. The name is that of the function by default,
                states and controls are called like its inputs (`x_0`, `x_1`, ...), units are '1',
                and there are no joints.

        Raises:
            ValueError: if it has other inputs or outputs, or cannot be expanded; one line says
                what to give instead.
        """
        from trc_core.problem.casadi_function import words_of_function

        return cls(**words_of_function(function, discrete, parameters, **words))

    @classmethod
    def from_urdf(
        cls: type[S],
        source: str | Path,
        tip: str | None = None,
        joints: Sequence[str] | None = None,
        locked: Mapping[str, float] | None = None,
        *,
        dt: float,
        horizon: int,
        **words: Any,
    ) -> S:
        """A robot on a fixed base, from its URDF.

        Args:
            source: path of a URDF file, or the text of one; what xacro writes is read, too.
            tip: the link at its end; by default the last one that nothing hangs on, of those
                behind the most joints.
            joints: names of those that move; all by default. The others stay at 0.
            locked: positions [rad or m] of joints that do not move, like `{'finger': 0.02}`.
            dt: sampling period of the plan [s].
            horizon: number of control steps.
            **words: `limits` and `gravity` of `problem.urdf.robot_from_urdf`; payload, friction
                and weights of `problem.robot_words.words_of_robot`; all others are words of
                `System`.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the robot is not supported; one line names the joint.
        """
        from trc_core.problem.urdf import robot_from_urdf

        read = {key: words.pop(key) for key in ('limits', 'gravity') if key in words}
        model = robot_from_urdf(source, tip, joints, locked, **read)
        return cls.from_robot(model, dt=dt, horizon=horizon, **words)

    @classmethod
    def from_mjcf(
        cls: type[S],
        source: str | Path,
        tip: str | None = None,
        *,
        dt: float,
        horizon: int,
        contacts: str = 'refuse',
        **words: Any,
    ) -> S:
        """A robot on a fixed base, from a MuJoCo model (MJCF) of hinges and slides.

        Joints without an actuator are passive: they have no control.

        Args:
            source: path of an MJCF file, or the text of one.
            tip: the site or body at its end; by default it has none.
            dt: sampling period of the plan [s].
            horizon: number of control steps.
            contacts: 'ignore' leaves out contacts; otherwise geoms that could touch are an error.
            **words: `limits` of `problem.mjcf.robot_from_mjcf`; payload, friction and weights of
                `problem.robot_words.words_of_robot`; all others are words of `System`.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if MuJoCo is not installed, or the model has what is not supported; one
                line names it.
        """
        from trc_core.problem.mjcf import robot_from_mjcf

        for word in ('joints', 'locked'):
            if word in words:
                raise ValueError(
                    f'{word} goes with a URDF; take the joints out of the MJCF itself'
                )
        limits = words.pop('limits', None)
        model = robot_from_mjcf(source, tip, contacts, limits)
        return cls.from_robot(model, dt=dt, horizon=horizon, **words)

    @classmethod
    def from_robot(cls: type[S], model: RobotModel, *, dt: float, horizon: int, **words: Any) -> S:
        """A robot whose model is there already; see `problem.robot_words.words_of_robot`."""
        from trc_core.problem.robot_words import words_of_robot

        return cls(**words_of_robot(model, dt=dt, horizon=horizon, **words))
