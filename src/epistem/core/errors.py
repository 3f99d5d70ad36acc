"""Every error a user can meet.

::

    EpistemError
    ├── ReadError              a file that cannot become an image
    │   └── NotAnImage         it was understood, and is a spectrum, a table, a complex transform…
    ├── ShapeError             arrays that should agree in shape do not
    ├── CalibrationMissing     a length in nm was asked of an image without pixel size
    ├── SettingsError          a setting outside what is meaningful
    │   └── UnknownName        no entry of that name in a table
    ├── DependencyMissing      the extra that brings a library is not installed
    ├── ClusterError           a scheduler that went away, or workers that cannot do the work
    ├── TrainingError          a network that cannot be trained on, or a run that cannot go on
    └── RecordError            a file of results, masks or samples that does not hold what it should

Each message says what was wanted, what came, and what to do.
"""

from __future__ import annotations

# What runtimes written in C++ say of it; their errors have no kind of their own.
_NO_MEMORY = (
    "failed to allocate memory", "bad allocation", "bad_alloc", "insufficient memory", "can't allocate memory",
    "cannot allocate memory", "not enough memory",
)  # fmt: skip


class EpistemError(Exception):
    """Anything epistem refuses, in one clear line."""


class ReadError(EpistemError):
    """The file cannot become an image."""


class NotAnImage(ReadError):
    """The file was understood and holds something that is not an image."""


class ShapeError(EpistemError, ValueError):
    """Arrays that should agree in shape do not."""


class CalibrationMissing(EpistemError):
    """A length in nm was asked of an image without pixel size."""


class SettingsError(EpistemError, ValueError):
    """A setting outside what is meaningful."""


class UnknownName(SettingsError):
    """No entry of that name in a table."""


class DependencyMissing(EpistemError, ImportError):
    """A library that only an extra installs is not there."""


class ClusterError(EpistemError):
    """Other machines cannot go on with the work; what is done stays done."""


class TrainingError(EpistemError):
    """A run that cannot go on; what it reached is kept."""


class RecordError(EpistemError):
    """A file of results, masks or samples does not hold what it should."""


def wants_memory(error: BaseException) -> bool:
    """Whether an error, of whatever library, says that there is not enough memory."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _NO_MEMORY)


def in_a_line(error: Exception) -> str:
    """Why one of many things could not be done, for where the others go on."""
    line = " ".join(str(error).split())
    if isinstance(error, EpistemError):
        return line
    if wants_memory(error):
        return "needs more memory than there is; take fewer --workers"
    if isinstance(error, OSError):
        return f"the system refused it: {error.strerror or line}; make room or choose another --out"
    return f"{type(error).__name__}: {line}; a fault of epistem, please report it"
