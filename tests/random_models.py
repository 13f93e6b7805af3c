"""Models whose every part shows in what they do."""

import torch

from trc_core.models import TinyRecursiveControl

# choices of `TRCConfig` that compiled kernels do not fly
VARIANTS = {
    'attention': {
        'use_two_level': True,
        'feedback': ('terminal', 'gradient'),
        'L_layers': 2,
        'num_heads': 4,
    },
    'single-latent attention': {'feedback': ('trajectory',), 'num_heads': 4},
    'fresh plans': {'feedback': (), 'use_residual_decoder': False, 'num_heads': 4},
    'RMSNorm before': {'use_two_level': True, 'norm': 'rms', 'norm_position': 'pre'},
    'RMSNorm behind': {'use_two_level': True, 'norm': 'rms', 'num_heads': 4},
    'plain perceptron': {'use_two_level': True, 'activation': 'silu', 'norm_position': 'pre'},
}
# choices, one plan at a time
ARCHITECTURES = {
    'two-level': {'use_two_level': True, 'feedback': ('trajectory', 'gradient')},
    'two layers': {'use_two_level': True, 'feedback': ('terminal', 'gradient'), 'L_layers': 2},
    'single-latent': {'feedback': ('trajectory',), 'num_inner_cycles': 2},
    'no feedback': {'feedback': ()},
    **VARIANTS,
}
SIZES = {'latent_dim': 16, 'hidden_dim': 12, 'num_heads': 0}


def randomised(model: TinyRecursiveControl, seed: int = 0) -> TinyRecursiveControl:
    """Weights large enough that every part shows in the output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.15 * torch.randn(p.shape, generator=generator))
    return model.eval()
