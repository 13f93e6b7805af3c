"""Scores of planners: how near to the optimum, how often successful, at which cost flown."""

from trc_core.evaluation.evaluator import Scores, evaluate_model

__all__ = ['Scores', 'evaluate_model']
