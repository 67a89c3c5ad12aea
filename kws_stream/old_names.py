"""Names that settings and options had until version 0.1; readable for one version more."""

import warnings
from collections.abc import Mapping
from typing import Any

from kws_stream.errors import ParameterError

OF_SETTINGS = {
    "sequences": "batch_size",
    "joined": "clips_per_sequence",
    "matrix_rate": "muon_lr",
    "wake": "reinit_dead_units",
}
OF_FILES = OF_SETTINGS | {"like": "extends", "begins_with": "init_from"}


class OldNameWarning(FutureWarning):
    """A file or a command that says something by a name that the next version will not know."""


def renamed(
    values: Mapping[str, Any], today: Mapping[str, str], where: str | None = None
) -> dict[str, Any]:
    """The same values under today's names, in their order.

    today: today's name of each old one. where: the file, if its old names are to be told of, by an
    OldNameWarning. Raises ParameterError for a setting under both of its names.
    """
    named: dict[str, Any] = {}
    for name, value in values.items():
        new = today.get(name, name)
        if new in named or (new != name and new in values):
            raise ParameterError(f"{new}: need it once, got it as {name} too")
        if new != name and where is not None:
            warnings.warn(f"{where}: {name} is called {new} now", OldNameWarning, stacklevel=2)
        named[new] = value
    return named
