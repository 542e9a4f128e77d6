"""The errors that a user can act on.

Everything raised on purpose derives from `VaelabError`; the command line prints its message without a traceback
and exits with its `exit_code`. Anything else that escapes is a defect of vaelab.
"""

from __future__ import annotations


class VaelabError(Exception):
    """Base of all errors that carry a message for the user and a remedy."""

    exit_code = 1


class ConfigError(VaelabError):
    """An experiment, a `--set` or a component's arguments are not valid. Exit code 2."""

    exit_code = 2


class BuildError(ConfigError):
    """Two components are valid alone and cannot work together. Exit code 2."""


class NoDensityError(BuildError):
    """A log-density was asked for where there is none, or none that can be computed. Exit code 2.

    `vaelab.build.build` tries an objective on such a model and names both in its message.
    """


class RegistrationError(ConfigError):
    """A component was registered wrongly: kind taken, or `kind` is no one-valued Literal. Exit code 2."""


class DataError(VaelabError):
    """A data set cannot be found, read or trusted. Exit code 3."""

    exit_code = 3


class RunError(VaelabError):
    """A run directory is missing, incomplete, taken or damaged. Exit code 4."""

    exit_code = 4


class StorageError(RunError):
    """A disk is full or cannot be written: no room, a quota, no permission, read-only, gone. Exit code 6."""

    exit_code = 6


class PeerError(VaelabError):
    """Another process of the same training has stopped; it is the one to say why. Exit code 1."""


class NonFiniteError(VaelabError):
    """Training produced a NaN or an infinity. Exit code 5."""

    exit_code = 5


class DifferenceError(VaelabError):
    """A run that was done again gave other values, or the experiment of a paper not what is published. Exit code 7."""

    exit_code = 7


class StoppedError(VaelabError):
    """Training was asked to stop; a checkpoint was written. Exit code 130."""

    exit_code = 130
