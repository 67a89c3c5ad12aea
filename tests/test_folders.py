"""One reader of folders: what is a recording is the same everywhere, and the rest is told."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from kws_stream.cli import main
from kws_stream.errors import DataError
from kws_stream.evaluation import (
    Skipped,
    background_in,
    folder_of,
    noise_seconds,
    recordings_below,
    select,
    streams_of,
    word_clips,
)
from kws_stream.export.comparison import clips_of
from kws_stream.features import FeatureSettings
from kws_stream.speech.training_set import read_recordings
from kws_stream.training.corpus import Corpus
from tests.clip_folders import build_words, clip_name, write

KEYWORDS = ["yes", "no"]


def litter(folder: Path) -> list[str]:
    """Things that are found beside recordings, and are none."""
    apple = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X"
    (folder / f"._{clip_name('validation', 0)}").write_bytes(apple)
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (folder / "empty.wav").touch()
    (folder / "old.wav").mkdir()
    write(folder / "old.wav" / clip_name("validation", 7))
    (folder / "README.md").write_text("no recording, and nothing to tell")
    return [f"._{clip_name('validation', 0)}", "Thumbs.db", "empty.wav", "old.wav"]


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_what_is_no_recording_is_left_out_and_told_in_one_line(tmp_path: Path) -> None:
    write(tmp_path / "yes" / "a.wav")
    told = litter(tmp_path / "yes")
    skipped = Skipped()
    assert names(recordings_below(tmp_path, skipped)) == ["a.wav"]
    assert sorted(names(list(skipped.found))) == sorted(told)
    (note,) = skipped.notes
    assert note.startswith("4 files were left out, the first of them ")
    assert told[0] in note


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_are_followed_and_do_not_go_in_circles(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "a.wav")
    data = tmp_path / "data"
    data.mkdir()
    (data / "yes").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (data / "b.wav").symlink_to(tmp_path / "elsewhere" / "a.wav")
    (data / "lost.wav").symlink_to(tmp_path / "nowhere.wav")
    (data / "round").symlink_to(data, target_is_directory=True)
    (data / "self.wav").symlink_to(data / "self.wav")
    skipped = Skipped()
    found = [str(path.relative_to(data)) for path in recordings_below(data, skipped)]
    assert found == ["b.wav", os.path.join("yes", "a.wav")]
    assert sorted(names(list(skipped.found))) == ["lost.wav", "round", "self.wav"]


@pytest.fixture
def both(tmp_path: Path) -> tuple[Path, Path]:
    """A plain data set, and the same with links for folders, other cases, and litter."""
    clean, other = build_words(tmp_path / "clean"), tmp_path / "other"
    other.mkdir()
    for folder in sorted(path for path in clean.iterdir() if path.is_dir()):
        place = other / folder.name
        if folder.name == "no":
            place.symlink_to(folder, target_is_directory=True)
            continue
        if folder.name in ("yes", "_background_noise_"):
            place = other / folder.name.title()
        place.mkdir()
        for file in folder.iterdir():
            ending = file.suffix.upper() if file.name.endswith("_1.wav") else file.suffix
            os.link(file, place / f"{file.stem}{ending}")
        litter(place)
    return clean, other


def stems(paths: list[Path]) -> list[str]:
    return [path.stem for path in paths]


@pytest.mark.parametrize("task", ["v2-12", "yes"])
def test_evaluate_scores_the_same_clips(both: tuple[Path, Path], task: str) -> None:
    clean, other = (select(folder, task) for folder in both)
    for of_clean, of_other in zip(clean.clips, other.clips, strict=True):
        assert of_clean.path.stem == of_other.path.stem
        assert (of_clean.label, of_clean.word) == (of_other.label, of_other.word)
    assert "the folder 'Yes' was read as 'yes'" in other.notes
    assert [note for note in other.notes if "left out" in note]
    assert not [note for note in clean.notes if "left out" in note]


def test_a_folder_in_two_spellings_is_one_word(tmp_path: Path) -> None:
    build_words(tmp_path)
    write(tmp_path / "YES" / clip_name("validation", 9))
    chosen = select(tmp_path, "v2-12")
    assert [clip.label for clip in chosen.clips if clip.path.parent.name == "YES"] == ["yes"]
    assert sum(clip.label == "yes" for clip in chosen.clips) == 4


def test_streams_hear_the_same_clips(both: tuple[Path, Path]) -> None:
    notes: list[str] = []
    clean = word_clips(both[0], KEYWORDS, "validation")
    other = word_clips(both[1], KEYWORDS, "validation", notes)
    assert sorted((c.path.stem, c.word) for c in clean) == sorted(
        (c.path.stem, c.word) for c in other
    )
    assert "the folder 'Yes' was read as 'yes'" in notes


def test_tune_counts_no_false_accepts_for_a_folder_in_another_case(tmp_path: Path) -> None:
    for name in ("yes", "Yes"):
        for number in range(3):
            write(tmp_path / name / name / f"{number}.wav", hz=400)
    runs = [
        CliRunner().invoke(
            main, ["tune", "yes-4", "--positives", str(tmp_path / name), "--jobs", "1", "--json"]
        )
        for name in ("yes", "Yes")
    ]
    assert [run.exit_code for run in runs] == [0, 0]
    clean, other = (json.loads(run.stdout) for run in runs)
    assert clean["current"] == other["current"]
    assert other["current"]["words"] == 3


def test_training_hears_the_same_clips(both: tuple[Path, Path], tmp_path: Path) -> None:
    corpora, notes = [], list[str]()
    for number, folder in enumerate(both):
        data = tmp_path / f"data{number}"
        data.mkdir()
        (data / "speech_commands").symlink_to(folder, target_is_directory=True)
        cache = tmp_path / f"cache{number}"
        corpora.append(
            Corpus.from_folders(data, None, FeatureSettings(), cache, jobs=1, notes=notes)
        )
    clean, other = (corpus.clips["speech_commands"] for corpus in corpora)

    def ordered(clips):
        order = np.lexsort((clips.envelopes.sum((1, 2)), clips.words))
        return clips.words[order], clips.splits[order], clips.envelopes[order]

    for one, two in zip(ordered(clean), ordered(other), strict=True):
        assert np.array_equal(one, two)
    noises = [np.sort(corpus.streams["noise"], axis=0) for corpus in corpora]
    assert np.array_equal(*noises)
    assert "the folder 'Yes' was read as 'yes'" in notes


def test_background_and_noise_leave_litter_out(tmp_path: Path) -> None:
    write(tmp_path / "hum.wav", 2.0)
    litter(tmp_path)
    skipped = Skipped()
    assert names(background_in([tmp_path], skipped)) == ["hum.wav"]
    assert {noise.path.name for noise in noise_seconds(tmp_path, skipped)} == {"hum.wav"}
    (stream,) = streams_of([tmp_path], skipped)
    assert names(list(stream.files)) == ["hum.wav"]
    assert len(skipped.found) == 4
    assert names(clips_of(tmp_path)[0]) == ["hum.wav"]
    assert "left out" in clips_of(tmp_path)[1][-1]


def test_own_recordings_of_a_phrase_leave_litter_out(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", 0.5)
    litter(tmp_path)
    skipped = Skipped()
    assert names(list(read_recordings(tmp_path, 16_000, skipped))) == ["a.wav"]
    assert len(skipped.found) == 4


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("form", ["{word}/{name}", "{word}\\{name}", "data/{word}/{name}"])
def test_lists_of_other_systems_are_read(tmp_path: Path, encoding: str, form: str) -> None:
    for number in range(4):
        write(tmp_path / "yes" / f"{number}.wav")
    lines = [form.format(word="yes", name=f"{number}.wav") for number in (1, 2)]
    (tmp_path / "validation_list.txt").write_bytes("\r\n".join([*lines, ""]).encode(encoding))
    (tmp_path / "testing_list.txt").write_bytes("\r\n".encode(encoding))
    chosen = select(tmp_path, "yes", "validation")
    assert stems([clip.path for clip in chosen.clips]) == ["1", "2"]


def test_a_folder_that_holds_litter_alone_says_so(tmp_path: Path) -> None:
    (tmp_path / "yes").mkdir()
    (tmp_path / "yes" / "._a.wav").write_bytes(b"\0\5\x16\7")
    for read in (lambda: select(tmp_path, "yes"), lambda: streams_of([tmp_path])):
        with pytest.raises(DataError, match=r"found none; .*1 file was left out: .*\._a\.wav"):
            read()


def test_folders_of_a_data_set_may_have_names_in_another_case(tmp_path: Path) -> None:
    (tmp_path / "_Background_Noise_").mkdir()
    assert folder_of(tmp_path, "_background_noise_") == tmp_path / "_Background_Noise_"
    (tmp_path / "_background_noise_").mkdir(exist_ok=True)
    assert folder_of(tmp_path, "_background_noise_").name == "_background_noise_"
    assert folder_of(tmp_path, "yes") == tmp_path / "yes"


def test_triggers_that_are_broken_are_no_recordings_without_keywords(tmp_path: Path) -> None:
    sound = np.zeros(1600, np.int16)
    stem = "trigger-20261124T122011483210-stop"
    for name in (f"{stem}.wav", f"{stem[:-5]}-go.wav", f"{stem}.part.wav"):
        soundfile.write(tmp_path / name, sound, 16_000)
    (tmp_path / f"{stem}.json").write_text('{"format": 1, "ev')
    soundfile.write(tmp_path / "trigger-happy.wav", sound, 16_000)
    skipped = Skipped()
    assert names(recordings_below(tmp_path, skipped)) == ["trigger-happy.wav"]
    assert sorted(skipped.found.values()) == [
        "a trigger with a damaged record",
        "a trigger without its record",
        "an unfinished trigger",
    ]
