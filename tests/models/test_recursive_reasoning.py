"""The parts of TRM: each does what its formula says, and attention over one token is linear."""

import pytest
import torch
from torch.nn import functional

from trc_core.models.recursive_reasoning import (
    NORMS,
    PERCEPTRONS,
    RecursiveReasoningBlock,
    TokenAttention,
)
from trc_core.models.tokens import TOKENS, step_positions

SIZE, WIDTH = 8, 6


@pytest.fixture
def z():
    return torch.randn(5, SIZE, generator=torch.Generator().manual_seed(0))


def shaken(module, seed=1):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=generator))
    return module


def layer_norm(z, w, b):
    centred = z - z.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w + b


def rms_norm(z, w):
    return z / (z.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w


def test_norms_are_their_formulas(z):
    layer, rms = shaken(NORMS['layer'](SIZE)), shaken(NORMS['rms'](SIZE))
    torch.testing.assert_close(layer(z), layer_norm(z, layer.weight, layer.bias))
    torch.testing.assert_close(rms(z), rms_norm(z, rms.weight))


def test_perceptrons_are_their_formulas(z):
    swiglu, plain = (PERCEPTRONS[name](SIZE, WIDTH) for name in ('swiglu', 'silu'))
    a, b = (z @ swiglu.input.weight.T + swiglu.input.bias).split(WIDTH, -1)
    expected = (functional.silu(a) * b) @ swiglu.output.weight.T + swiglu.output.bias
    torch.testing.assert_close(swiglu(z), expected)
    hidden = functional.silu(z @ plain.input.weight.T + plain.input.bias)
    torch.testing.assert_close(plain(z), hidden @ plain.output.weight.T + plain.output.bias)


@pytest.mark.parametrize('norm', NORMS)
def test_post_norm_stands_behind_the_sum_and_pre_norm_before_the_part(z, norm):
    post = shaken(RecursiveReasoningBlock(SIZE, WIDTH, 2, norm, 'post'))
    pre = RecursiveReasoningBlock(SIZE, WIDTH, 2, norm, 'pre')
    pre.load_state_dict(post.state_dict())
    mixed = post.attention_norm(z + post.attention(z))
    torch.testing.assert_close(post(z), post.mlp_norm(mixed + post.mlp(mixed)))
    mixed = z + post.attention(post.attention_norm(z))
    torch.testing.assert_close(pre(z), mixed + post.mlp(post.mlp_norm(mixed)))
    assert not torch.allclose(pre(z), post(z), atol=1e-2)


def test_attention_over_one_token_is_the_folded_linear_map(z):
    attention = shaken(TokenAttention(SIZE, 2))
    matrix, bias = attention.folded()
    torch.testing.assert_close(attention(z), z @ matrix.T + bias)
    before = attention(z)
    with torch.no_grad():
        attention.attention.in_proj_weight[: 2 * SIZE] += 1.0  # queries and keys
    torch.testing.assert_close(attention(z), before)


def test_attention_over_many_tokens_is_softmax_attention():
    attention = shaken(TokenAttention(SIZE, 2))
    z = torch.randn(3, 4, SIZE, generator=torch.Generator().manual_seed(0))
    inner = attention.attention
    q, k, v = functional.linear(z, inner.in_proj_weight, inner.in_proj_bias).chunk(3, -1)
    q, k, v = (a.unflatten(-1, (2, SIZE // 2)).transpose(1, 2) for a in (q, k, v))
    share = (q @ k.mT / (SIZE // 2) ** 0.5).softmax(-1)
    expected = inner.out_proj((share @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(z), expected)


def test_vector_tokens_read_the_whole_plan_and_horizon_tokens_their_own_step():
    controls, terminal = torch.randn(2, 5, 3), torch.randn(2, 1, 4)
    vector = TOKENS['vector'].join([controls, terminal], 5)
    horizon = TOKENS['horizon'].join([controls, terminal], 5)
    assert vector.shape == (2, 5 * 3 + 4)
    assert horizon.shape == (2, 5, 3 + 4)
    assert torch.equal(horizon[:, 2], torch.cat([controls[:, 2], terminal[:, 0]], -1))


def test_positions_tell_every_step_from_every_other():
    positions = step_positions(100, torch.zeros(1, 16))
    distance = torch.cdist(positions, positions) + torch.eye(100)
    assert distance.min() > 1e-2
