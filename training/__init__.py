"""From a weighted subset to a LoRA and its scores (comes with the trainer)."""
