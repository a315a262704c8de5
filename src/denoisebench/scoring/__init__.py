"""Outputs -> scores: measures, protocols, the evaluator."""
