"""Running speech of people that no training heard, for a figure of a wake phrase.

A threshold that lets nothing through in synthetic speech may let several an hour through in
people's. So the recordings of `--data` that are not of the training split are copied beside the
synthetic ones that are held out, where the command in the manifest finds them.
"""

import shutil
from pathlib import Path

import numpy as np

from kws_stream.audio import read_whole
from kws_stream.audio.encoding import write_flac
from kws_stream.constants import SAMPLE_RATE_HZ
from kws_stream.evaluation.folders import Skipped
from kws_stream.evaluation.speech_commands import split_of
from kws_stream.training.corpus import audio_files

FOLDER = "people"  # in the folder of what is held out
PAUSE_S = 0.5  # after each recording


def write_people(data: Path | None, held_out: Path) -> Path | None:
    """Copy the running speech of `data` that training leaves out to `held_out`; its folder there.

    None where there is none. What an earlier run left there is removed.
    """
    folder = held_out / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    found = [] if data is None else audio_files(data / "running_speech", Skipped())
    kept = [path for path in found if split_of(path.name) != "training"]
    if len(kept) in (0, len(found)):  # where all are of other splits, training hears all
        return None
    pause = round(PAUSE_S * SAMPLE_RATE_HZ)
    for index, path in enumerate(kept):
        write_flac(folder / f"{index:05d}.flac", np.pad(read_whole(path), (0, pause)))
    return folder
