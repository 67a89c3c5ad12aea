"""Labels that cannot be those of their recording are refused, with file and line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

import kws_stream
from kws_stream.cli import main
from kws_stream.constants import RECORDING
from kws_stream.errors import DataError
from kws_stream.evaluation import evaluate_recordings, read_labels, streams_of, tune
from kws_stream.workers import Workers

DATA = Path(kws_stream.__file__).parent / "_data"


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A recording of three seconds."""
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.zeros(3 * 8000, np.int16), 8000)
    return path


def write(recording: Path, start_s: object, end_s: object, word: object = "yes") -> None:
    """A good label, and one that begins in line 4."""
    text = json.dumps({"word": word, "start_s": start_s, "end_s": end_s})
    good = '{"word": "no",\n "start_s": 0.5, "end_s": 1}'
    recording.with_suffix(".json").write_text(f'{{"words": [\n{good},\n{text}]}}\n')


@pytest.mark.parametrize(
    ("start_s", "end_s", "wanted"),
    [
        (1160, 1720, "within"),  # milliseconds
        (18560, 27520, "within"),  # samples
        (3.0, 3.4, "within"),
        (2.5, 4.1, "within"),
        (-0.1, 1.0, "0 <= start_s"),
        (2.0, 1.0, "0 <= start_s"),
        (float("nan"), 1.0, "0 <= start_s"),
        (1.0, float("inf"), "0 <= start_s"),
        (10**400, 1, "two numbers"),
        (True, 2, "two numbers"),
        ("soon", 2, "two numbers"),
        (None, 2, "two numbers"),
        ([1], 2, "two numbers"),
    ],
)
def test_times_that_cannot_be_are_refused_with_file_and_line(
    talk: Path, start_s: object, end_s: object, wanted: str
) -> None:
    write(talk, start_s, end_s)
    with pytest.raises(DataError, match=rf"talk\.json: need .*{wanted}.* in line 4"):
        read_labels(talk)


@pytest.mark.parametrize("word", ["", "  ", None, 3, ["yes"]])
def test_a_label_without_a_word_is_refused_with_its_line(talk: Path, word: object) -> None:
    write(talk, 1, 2, word)
    with pytest.raises(DataError, match=r"talk\.json: need .* in line 4"):
        read_labels(talk)


def test_a_number_of_thousands_of_digits_is_refused(talk: Path) -> None:
    talk.with_suffix(".json").write_text(f'{{"words": [{{"word": "yes", "end_s": {"1" * 5000}}}]}}')
    with pytest.raises(DataError, match=r"talk\.json: need"):
        read_labels(talk)


def test_milliseconds_inside_a_long_recording_are_refused_by_the_length_of_the_word(
    tmp_path: Path,
) -> None:
    long = tmp_path / "talk.flac"
    soundfile.write(long, np.zeros(8000 * 3600, np.int16), 8000)
    write(long, 1160, 1720)
    with pytest.raises(DataError, match=r"words of 30 s at most.* in line 4"):
        read_labels(long)


def test_a_word_that_the_end_of_its_recording_cuts_is_taken(talk: Path) -> None:
    write(talk, 2.6, 3.2)
    assert [word.end_s for word in read_labels(talk)] == [1, 3.2]


def test_a_header_that_promises_too_little_refuses_no_label(talk: Path) -> None:
    """A recorder that was killed leaves the sizes of an earlier moment."""
    data = bytearray(talk.read_bytes())
    data[40:44] = (2 * 8000).to_bytes(4, "little")  # one second
    data[4:8] = (36 + 2 * 8000).to_bytes(4, "little")
    talk.write_bytes(data)
    write(talk, 0.6, 0.9)
    assert len(read_labels(talk)) == 2


@pytest.mark.parametrize("name", ["talk.json", "Talk.JSON", "talk.wav.json", "TALK.json"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_labels_of_other_programs_are_found_and_read(talk: Path, name: str, encoding: str) -> None:
    text = json.dumps({"words": [{"word": "ja", "start_s": 1, "end_s": 2}]}, indent=1)
    (talk.parent / name).write_bytes(text.replace("\n", "\r\n").encode(encoding))
    assert [word.word for word in read_labels(talk)] == ["ja"]


def spoken(folder: Path, name: str) -> Path:
    """The packaged recording, with its labels written in another way."""
    folder.mkdir()
    shutil.copy(RECORDING, folder)
    labels = json.loads((DATA / "demo.json").read_text("utf-8"))
    for word in labels["words"]:
        if word["word"] == "yes":
            word["word"] = name
    (folder / "demo.json").write_text(json.dumps(labels))
    return folder


def test_labels_in_another_case_are_scored_like_the_keyword(tmp_path: Path) -> None:
    with Workers(1) as here:
        results = [
            evaluate_recordings([spoken(tmp_path / str(i), name)], "yes-4", workers=here)
            for i, name in enumerate(["yes", "Yes", " YES "])
        ]
        tuned = tune(streams_of([tmp_path / "2"]), "yes-4", 400, workers=here)
    assert results[0].point.words == 3
    assert results[0].point == results[1].point == results[2].point
    assert results[0].sweep == results[2].sweep
    assert results[0].notes == ()
    assert results[2].notes == ("the label ' YES ' was read as 'yes', 3 times",)
    assert tuned.current.counts == results[0].point.per_keyword["yes"]
    assert results[2].notes[0] in tuned.notes


def test_labels_without_a_keyword_of_the_model_are_told(tmp_path: Path) -> None:
    folder = spoken(tmp_path / "a", "ja")
    labels = json.loads((folder / "demo.json").read_text("utf-8"))
    words = [word for word in labels["words"] if word["word"] == "ja"]
    (folder / "demo.json").write_text(json.dumps({"words": words}))
    (note,) = evaluate_recordings([folder], "yes-4", workers=Workers(1)).notes
    assert "no label is a keyword" in note
    assert "'ja'" in note


@pytest.mark.parametrize("command", ["evaluate-stream", "tune"])
def test_commands_refuse_wrong_labels_before_they_hear_anything(
    tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kws_stream.evaluation.recordings.hear", None)  # never reached
    folder = spoken(tmp_path / "a", "yes")
    shutil.copy(RECORDING, folder / "talk.flac")
    write(folder / "talk.wav", 4160, 4720)
    names = [str(folder)] if command == "evaluate-stream" else ["yes-4", str(folder)]
    result = CliRunner().invoke(main, [command, *names, "--jobs", "1"])
    assert result.exit_code == 1
    assert "talk.json: need words within the recording's" in result.stderr
    assert "in line 4" in result.stderr
    assert result.stderr.count("error:") == 1
