"""Model packs: directories that hold a trained network and its settings as data, never as code.

docs/packs.md describes the format. A pack is not trusted: sizes are bounded before anything is
read or unpacked, no name leads out of the directory, and nothing in a file is evaluated. Each file
is read once; its bytes are hashed and those same bytes are parsed.
"""

from kws_stream.packs.loading import Pack, list_packs, load, models_dir
from kws_stream.packs.saving import check_replaceable, save, save_copy, save_metrics
from kws_stream.packs.verifying import verify

__all__ = [
    "Pack",
    "check_replaceable",
    "list_packs",
    "load",
    "models_dir",
    "save",
    "save_copy",
    "save_metrics",
    "verify",
]
