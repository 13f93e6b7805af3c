"""Graphs for ONNX Runtime, made from checkpoints without PyTorch."""
