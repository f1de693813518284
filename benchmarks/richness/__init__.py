"""The richness ladder: does a set's richness decide whether a LoRA overfits? PROTOCOL.md says what is done and why."""
