"""The errors a user can cause, each with one line that says what is wrong and how to mend it.

The command line turns every `FedloomError` into that line and the exit code; anything else is a defect of ours and keeps its traceback.
"""


class FedloomError(Exception):
    """A failure that has a reason a user can act on. `exit_code` is what the command line returns."""

    exit_code = 1


class RecipeError(FedloomError):
    """The recipe or the command is wrong: the key, what was expected, the fix."""

    exit_code = 2


class DataError(FedloomError):
    """A data file cannot be used: the file and line, what was expected, the fix."""

    exit_code = 2


class UnreadableError(DataError):
    """One file among many is damaged: a source leaves it out and says so, where a row that is filled in wrong is an error."""


class ModelError(FedloomError):
    """A model cannot be found, fetched or loaded."""

    exit_code = 2


class DiskError(FedloomError):
    """A file or folder cannot be written: the disk is full, or it may not be written to."""


class MissingExtraError(FedloomError):
    """An optional library is absent."""

    exit_code = 2

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {library}, which is not installed: pip install 'fedloom[{extra}]'")


class PartError(FedloomError):
    """A registered part, such as a plugin's, does not give what the base class of its kind says."""


class RefusedMessageError(FedloomError):
    """A message did not pass the checks; it is dropped and the round goes on."""


class PrivateDataError(FedloomError):
    """Private text was about to leave its client."""


class RunStoppedError(FedloomError):
    """The run was stopped and can be resumed."""

    exit_code = 3


class InterruptedRunError(RunStoppedError):
    """It was stopped by its user: what runs around it stops too."""
