"""Google Speech Commands (Warden, arXiv:1804.03209, CC-BY-4.0): which clips a task scores."""

import hashlib
import re
from pathlib import PurePath

SPLITS = ("training", "validation", "testing")
VALIDATION_PERCENT = 10.0  # the published split
TESTING_PERCENT = 10.0
MAX_CLIPS_PER_CLASS = 2**27 - 1  # MAX_NUM_WAVS_PER_CLASS of the published script


def split_of(filename: str) -> str:
    """The official split of a clip: "training", "validation" or "testing".

    From the SHA-1 of the base name without `_nohash_...`, so that all clips of a speaker share a
    split: the function which_set of the data set's README.
    """
    speaker = re.sub(r"_nohash_.*$", "", PurePath(filename).name)
    digest = int(hashlib.sha1(speaker.encode(), usedforsecurity=False).hexdigest(), 16)
    percent = digest % (MAX_CLIPS_PER_CLASS + 1) * (100.0 / MAX_CLIPS_PER_CLASS)
    if percent < VALIDATION_PERCENT:
        return "validation"
    if percent < VALIDATION_PERCENT + TESTING_PERCENT:
        return "testing"
    return "training"
