"""Where base models come from, and which family they are of; `training.base.load` is the door."""
