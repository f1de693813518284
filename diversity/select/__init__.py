"""Strategies and weights: which pictures stay, and how much each counts."""
