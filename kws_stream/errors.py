"""The errors that kws-stream raises on purpose, and nothing else.

    KwsStreamError
    ├── ParameterError    (also ValueError)   a network's arrays or settings do not make sense
    │   └── TaskError                         a model asked for a task that it cannot do
    ├── InputError        (also ValueError)   samples or features that cannot be processed
    ├── AudioError                            a file or pipe that cannot be read as audio
    │   └── TruncatedAudioError               ... that ended before its header said it would
    ├── DeviceError                           no microphone, no PortAudio, device unplugged
    ├── PackError                             a model pack that is missing, broken or unknown
    ├── ServerError                           an address at which a server cannot listen
    ├── DataError                             a data-set folder without what a task needs
    ├── WorkerError                           a cluster that is not there, or processes that die
    ├── FirmwareError                         C sources that cannot be written, no compiler
    ├── BitstreamError                        a chip's bitstream that is cut, corrupt or unknown
    └── MissingExtraError (also ImportError)  an optional dependency that is not installed

Each message is one sentence: what was needed, what came, what to do. The command line turns these,
and only these, into a line on standard error and exit status 1.
"""

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """'; did you mean "x"?' for the name in `known` that is nearest to a mistyped one, else "".

    Case does not count. It ends a message, or is left out of it.
    """
    from difflib import get_close_matches

    lowered = {one.lower(): one for one in known}
    near = get_close_matches(name.lower(), lowered, n=1)
    return f"; did you mean {lowered[near[0]]!r}?" if near else ""


class KwsStreamError(Exception):
    """Base of every error that kws-stream raises on purpose."""


class ParameterError(KwsStreamError, ValueError):
    """Network arrays or settings that do not make sense: shapes, signs, NaN."""


class TaskError(ParameterError):
    """A model that is asked for a task that its classes cannot answer: wrong use, not a fault."""


class InputError(KwsStreamError, ValueError):
    """Samples or features that cannot be processed: NaN, wrong shape, off the input grid."""


class AudioError(KwsStreamError):
    """A file or pipe that cannot be read as audio."""


class TruncatedAudioError(AudioError):
    """Audio that ended before its header said it would; what came before the cut was delivered."""


class DeviceError(KwsStreamError):
    """No microphone, no PortAudio, or a device that went away."""


class PackError(KwsStreamError):
    """A model pack that is missing, broken, unsafe or of an unknown version."""


class ServerError(KwsStreamError):
    """An address at which a server cannot listen, or a certificate that it cannot use."""


class DataError(KwsStreamError):
    """A data-set folder that does not hold what the task needs."""


class WorkerError(KwsStreamError):
    """A cluster that cannot be reached or used, or processes that die over their work."""


class FirmwareError(KwsStreamError):
    """C sources that cannot be written, a compiler that is missing, or a build that fails."""


class BitstreamError(KwsStreamError):
    """A chip's bitstream that is cut, corrupt, of another version, or cannot be written."""


class MissingExtraError(KwsStreamError, ImportError):
    """An optional dependency is not installed; the message names the extra to install."""
