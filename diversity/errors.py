"""What can go wrong for a user: one sentence of what, one of why, one of what to do; never a traceback.

Not for programming errors: those stay ordinary exceptions.
"""


class DiversityError(Exception):
    """A problem that a user can mend.

    Args:
        what: What happened, one sentence.
        why: Why it happened, one sentence; may be empty where `what` says it all.
        todo: What the user can do now, one sentence.
    """

    def __init__(self, what: str, why: str = "", todo: str = "") -> None:
        super().__init__(" ".join(part for part in (what, why, todo) if part))
        self.what, self.why, self.todo = what, why, todo


class InputError(DiversityError):
    """The pictures, a file or an option given by the user cannot be used."""


class ConfigError(DiversityError):
    """`diversity.toml` or an option holds a key or value that is not understood."""


class WorkspaceError(DiversityError):
    """The workspace is missing a table, is of another version, is corrupt, or is in use by another process."""


class EncoderError(DiversityError):
    """A named encoder cannot be loaded; never replaced silently by another one."""


class SelectionError(DiversityError):
    """A selection cannot be made as asked, for example because protected pictures exceed the budget."""


class ExportError(DiversityError):
    """An export cannot be written, for example because files of another origin are in the way."""


class NotExportedError(ExportError):
    """The export failed, and all else that was asked for is done: the report is there."""
