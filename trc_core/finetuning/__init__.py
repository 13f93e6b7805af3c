"""Fine-tuning by reinforcement learning on plants that differ from the model."""
