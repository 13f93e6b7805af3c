"""A controller that learns what its plant is, from states and commands over DDS."""

import pytest

pytest.importorskip('rclpy')

from probe import START_TIMEOUT, arguments


def test_a_plant_that_differs_from_its_model_is_learned_in_flight(start, make_probe, namespace):
    probe = make_probe(namespace, 'oscillator')
    common = arguments('van_der_pol', namespace)
    noise = ('-p', 'adaptation.noise:=[0.01, 0.01]')  # commands do not act quite when assumed
    node = start('controller', *common, *noise)
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


def test_noise_that_does_not_fit_the_plant_is_refused_in_one_line(start):
    node = start('controller', '-p', 'system:=van_der_pol', '-p', 'adaptation.noise:=[0.1]')
    assert node.exit_code() == 1
    assert 'has 1 values' in node.log()
    assert len(node.log().splitlines()) == 1


@pytest.mark.long
def test_a_controller_that_cannot_learn_flies_and_says_so(start, make_probe, namespace):
    probe = make_probe(namespace, 'oscillator')
    node = start('controller', *arguments('van_der_pol', namespace), '-p', 'backend:=torch')
    probe.meet(node, 'state')
    assert "nothing is learned in flight: the backend 'torch' plans with fixed" in node.log()
    assert node.interrupt() == 0
