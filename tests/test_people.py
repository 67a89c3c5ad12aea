"""Real speech that no training of a wake phrase heard."""

from pathlib import Path

import numpy as np
import soundfile

from kws_stream.training.people import FOLDER, write_people

TRAINED = ("talk.wav", "talk-1.wav", "talk-2.wav")  # by their names
LEFT = ("talk-0.wav", "deep/talk-3.wav")


def talk(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        path = folder / "running_speech" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.full(16_000, 0.25), 16_000)


def test_only_what_no_training_heard_is_copied(tmp_path: Path) -> None:
    talk(tmp_path / "data", TRAINED + LEFT)
    old = tmp_path / "held_out" / FOLDER / "of-another-run.flac"
    old.parent.mkdir(parents=True)
    old.touch()
    folder = write_people(tmp_path / "data", tmp_path / "held_out")
    assert folder == tmp_path / "held_out" / FOLDER
    copies = sorted(folder.iterdir())
    assert [copy.name for copy in copies] == ["00000.flac", "00001.flac"]
    for copy in copies:
        sound, rate = soundfile.read(copy)
        assert rate == 16_000
        assert np.allclose(sound[:16_000], 0.25, atol=1e-4)  # and a pause
        assert len(sound) == 24_000
        assert not sound[16_000:].any()


def test_without_such_recordings_there_is_no_folder(tmp_path: Path) -> None:
    held_out = tmp_path / "held_out"
    (held_out / FOLDER).mkdir(parents=True)  # of an earlier run
    assert write_people(None, held_out) is None
    assert not (held_out / FOLDER).exists()
    for names in (TRAINED, LEFT):  # a few that are all of other splits are all trained on
        data = tmp_path / names[0]
        talk(data, names)
        assert write_people(data, held_out) is None
        assert not (held_out / FOLDER).exists()
    assert write_people(tmp_path, held_out) is None
