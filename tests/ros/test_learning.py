"""A controller that learns what its plant is, from states and commands over DDS."""

import pytest

pytest.importorskip('rclpy')

from probe import START_TIMEOUT, arguments


def test_a_plant_that_differs_from_its_model_is_learned_in_flight(start, make_probe, namespace):
    probe = make_probe(namespace, 'oscillator')
    common = arguments('van_der_pol', namespace)
    noise = ('-p', 'adaptation.noise:=[0.01, 0.01]')  # commands do not act quite when assumed
    node = start('controller', *common, '-p', 'adaptation.enabled:=true', *noise)
    probe.meet(node, 'state')
    plant = start('plant', *common, '-p', 'parameter_error:=0.4')
    probe.meet(plant, 'command')
    for position in (1.5, -1.5):  # far from rest, where mu has an effect
        probe.send_goal((position, 0.0))
        probe.spin(2.0)

    def learned():
        return float(probe.diagnosis('model')['learned_mu'])

    probe.require(lambda: learned() > 1.2, 'mu = 1.4 learned, from 1', START_TIMEOUT)
    assert learned() < 1.5
    assert node.interrupt() == 0


@pytest.mark.parametrize(
    ('arguments_', 'reason'),
    [
        (('-p', 'system:=double_integrator'), "system 'double_integrator' has the parameters {}"),
        (('-p', 'system:=van_der_pol', '-p', 'adaptation.noise:=[0.1]'), 'has 1 values'),
        (('-p', 'system:=van_der_pol', '-p', 'backend:=torch'), "not 'torch'"),
    ],
)
def test_what_cannot_be_learned_is_refused_in_one_line(start, arguments_, reason):
    node = start('controller', *arguments_, '-p', 'adaptation.enabled:=true')
    assert node.exit_code() == 1
    assert reason in node.log()
    assert len(node.log().splitlines()) == 1
