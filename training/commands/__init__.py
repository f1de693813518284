"""`diversity train`, `runs`, `generate`, `lora`, `evaluate` and `pick`: arguments and printing, no logic."""
