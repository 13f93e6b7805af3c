"""Models whose every part shows in what they do."""

import torch

from trc_core.models import TinyRecursiveControl


def randomised(model: TinyRecursiveControl, seed: int = 0) -> TinyRecursiveControl:
    """Weights large enough that every part shows in the output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.15 * torch.randn(p.shape, generator=generator))
    return model.eval()
