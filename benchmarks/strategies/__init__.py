"""Curation strategies side by side: `python -m benchmarks.strategies FOLDER`, see docs/strategies.md."""
