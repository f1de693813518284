"""`diversity train`, `runs`, `generate`, `lora` and `pick`: arguments and printing, no logic."""
