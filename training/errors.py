"""What can go wrong for a user of the training room; see `diversity.errors` for how errors speak."""

from diversity.errors import DiversityError


class BaseModelError(DiversityError):
    """A base model cannot be found, is of a family that is not trained here, or cannot be read."""


class NotANumberError(BaseModelError):
    """What a model gave is not a number: its weights or a LoRA's are broken, or half precision overflowed."""


class LoraError(DiversityError):
    """A LoRA file cannot be read or written, or does not fit the base model."""


class TrainingError(DiversityError):
    """A run cannot start, go on or end as asked, for example because a loss is not a number any more."""
