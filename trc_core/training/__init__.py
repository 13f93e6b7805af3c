"""The training stages, in PyTorch Lightning."""
