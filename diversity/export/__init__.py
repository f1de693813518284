"""One writer per trainer format."""
