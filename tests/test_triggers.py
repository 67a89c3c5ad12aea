"""What is kept of triggers, and what people can do with it."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from kws_stream import KeywordSpotter, files
from kws_stream.cli import main
from kws_stream.errors import DataError
from kws_stream.live import Hearing, TriggerKeeper, TriggerStore, read_triggers, trigger_audio
from tests.pack_factory import build_pack
from tests.test_architecture import ROOT
from tests.test_audio_microphone import FakeSounddevice
from tests.test_cli import noise


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return build_pack(
        tmp_path_factory.mktemp("packs") / "tiny",
        graphs=False,
        seed=9,
        detector={"threshold": 0.0, "rearm": 1.0, "refractory_s": 0.5},
    )


@pytest.fixture(scope="module")
def pcm():
    return (np.round(noise(4.0)[:, 0] * 32768) / 32768).astype(np.float32)


def run(*words, **settings):
    result = CliRunner().invoke(main, [str(word) for word in words], **settings)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def keep(folder, pack, pcm, blocks=200, most=200):
    store = TriggerStore(folder, most)
    spotter = KeywordSpotter(pack)
    hearing = Hearing(spotter, [TriggerKeeper(store, spotter, "a test")])
    events = []
    for block in np.array_split(pcm, blocks):
        events += hearing.hear(block)
        while not store._queue.empty():  # the disk keeps up
            time.sleep(0.001)
    hearing.close()
    store.close()
    return store, events


@pytest.mark.parametrize("blocks", [3, 200])
def test_a_record_holds_the_audio_the_scores_and_the_bits_around_its_event(
    pack, pcm, tmp_path, blocks
):
    store, events = keep(tmp_path, pack, pcm, blocks)
    assert events == KeywordSpotter(pack).process(pcm)
    records = read_triggers(tmp_path)
    assert [record.values["event"] for record in records] == [event.as_dict() for event in events]
    assert (store.kept, store.lost) == (len(events), 0)
    assert len(events) > 4
    spotter = KeywordSpotter(pack)
    seen = [piece for part in np.split(pcm, 2) for piece in spotter.observe(part)]
    scores = np.concatenate([piece.smoothed for piece in seen])
    bits = [np.concatenate(z) for z in zip(*(piece.trace.bits for piece in seen), strict=True)]
    for record in records:
        values = record.values
        start = round(values["audio_start_s"] * 16_000)
        audio = trigger_audio(record)
        assert np.array_equal(audio, pcm[start : start + len(audio)])
        event = values["event"]
        assert start / 16_000 <= event["start_s"]
        assert start + len(audio) == min(len(pcm), round((event["time_s"] + 1) * 16_000))
        rows = [round(time_s / spotter.frame_s) - 1 for time_s in values["times_s"]]
        assert np.allclose(values["scores"], scores[rows], atol=1e-5)
        for number, cells in enumerate(values["cells"]):
            packed = [bytes.fromhex(row[number]) for row in values["bits"]]
            unpacked = np.unpackbits(np.frombuffer(b"".join(packed), np.uint8).reshape(-1, 1), 1)
            assert np.array_equal(unpacked[:, :cells].astype(bool), bits[number][rows])
        assert event["time_s"] in values["times_s"]
        assert (values["model"], values["source"], record.label) == ("tiny", "a test", None)
        assert values["threshold"] == 0.0


def test_the_number_of_records_is_bounded_and_labelled_ones_stay(pack, pcm, tmp_path):
    _, events = keep(tmp_path, pack, pcm)
    first = read_triggers(tmp_path)[0]
    first.set_label("no")
    keep(tmp_path, pack, pcm, most=3)
    records = read_triggers(tmp_path)
    assert len(records) == 3
    assert records[0].name == first.name
    assert records[-1].values["event"]["index"] == len(events) - 1
    assert len(list(tmp_path.iterdir())) == 6
    for record in records:
        record.set_label("yes")
    store, _ = keep(tmp_path, pack, pcm, most=3)
    assert (store.kept, store.lost) == (0, len(events))
    assert [record.name for record in read_triggers(tmp_path)] == [r.name for r in records]


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="need a folder to keep triggers in"):
        TriggerStore(tmp_path / "file")
    with pytest.raises(DataError, match="need a folder of triggers"):
        read_triggers(tmp_path / "nothing")


NAME = "trigger-20261124T122011483210-x"
EVENT = {"keyword": "x", "score": 0.5, "start_s": 0.1, "time_s": 0.5}
DAMAGED = [
    *("", "[]", "{}", '{"format": 1}', "[" * 50_000, "\0" * 100, '{"format": 1, "event": {"key'),
    json.dumps({"format": 1, "event": EVENT}),
    *(
        json.dumps({"format": 1, "audio_start_s": 0, "event": EVENT | {name: value}})
        for name, value in (("keyword", 3), ("score", None), ("start_s", "1"), ("time_s", [1]))
    ),
    '{"format": 1, "audio_start_s": 1e999, "event": {"keyword": "x", "score": 1, "start_s": 0, '
    '"time_s": 1}}',
]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_record_is_told_once_and_set_aside(text, pack, pcm, tmp_path):
    keep(tmp_path, pack, pcm)
    good = [record.name for record in read_triggers(tmp_path)]
    (tmp_path / f"{NAME}.json").write_text(text)
    (tmp_path / f"{NAME}.wav").write_bytes(b"RIFF")
    result = run("triggers", "list", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.count("need the record of a trigger") == 1
    assert [line.split()[-1] for line in result.stdout.splitlines()] == good
    assert (tmp_path / f"{NAME}.json.damaged").read_text() == text
    assert (tmp_path / f"{NAME}.wav.damaged").exists()
    again = run("triggers", "list", tmp_path)
    assert (again.exit_code, again.stderr) == (0, "")
    assert len(again.stdout.splitlines()) == len(good)


@pytest.mark.parametrize("text", DAMAGED)
def test_a_full_store_goes_on_over_a_damaged_record(text, pack, pcm, tmp_path):
    keep(tmp_path, pack, pcm, most=3)
    (tmp_path / "trigger-20000101T000000000000-x.json").write_text(text)
    told = []
    store = TriggerStore(tmp_path, 3, told.append)
    store.put({"event": EVENT}, pcm[:1600])
    store.close()
    assert (store.kept, store.lost) == (1, 0)
    assert len(told) == 1
    assert "set aside" in told[0]
    assert len(list(tmp_path.glob("trigger-*.json"))) == 3


def test_a_record_of_a_later_version_stays_as_it_is(tmp_path):
    (tmp_path / f"{NAME}.json").write_text('{"format": 2}')
    told = []
    assert read_triggers(tmp_path, told.append) == []
    assert "format 1" in told[0]
    assert names(tmp_path) == [f"{NAME}.json"]


@pytest.mark.parametrize("fault", ["disk", "flush", "soundfile", "anything"])
def test_a_full_disk_is_told_once_and_keeping_goes_on_when_there_is_room(
    fault, pcm, tmp_path, monkeypatch
):
    told = []

    def on_fault(text):
        told.append(text)
        raise RuntimeError("nor does an error of the listener end the keeping")

    store = TriggerStore(tmp_path, 9, on_fault)
    errors = {
        "disk": OSError(errno.ENOSPC, "No space left on device"),
        "flush": OSError(errno.EIO, "Input/output error"),
        "soundfile": soundfile.LibsndfileError(2),
        "anything": MemoryError(),
    }

    def broken(*args, **settings):
        raise errors[fault]

    record = {"event": EVENT, "audio_start_s": 0.0}
    with monkeypatch.context() as room:
        room.setattr(*((soundfile, "write") if fault == "soundfile" else (os, "fsync")), broken)
        for _ in range(3):
            store.put(record, pcm[:1600])
        until = time.monotonic() + 10
        while store.lost < 3:
            assert time.monotonic() < until
            time.sleep(0.005)
    assert names(tmp_path) == []
    store.put(record, pcm[:1600])
    store.close()
    assert (store.kept, store.lost) == (1, 3)
    assert len(told) == 1
    assert "could not be kept" in told[0]
    assert len(read_triggers(tmp_path)) == 1
    assert len(names(tmp_path)) == 2


def test_a_clock_that_is_set_back_costs_no_new_trigger(pack, pcm, tmp_path, monkeypatch):
    times = [datetime(2030, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return times[0]

    monkeypatch.setattr("kws_stream.live.triggers.datetime", Clock)
    keep(tmp_path, pack, pcm, most=3)
    before = [record.name for record in read_triggers(tmp_path)]
    times.reverse()
    store = TriggerStore(tmp_path, 3)
    for number in range(2):
        store.put({"event": EVENT | {"index": number}, "audio_start_s": 0}, pcm[:1600])
    store.close()
    after = read_triggers(tmp_path)
    assert [record.name for record in after[:1]] == before[2:]
    assert [record.values["event"]["index"] for record in after[1:]] == [0, 1]
    assert {record.values["kept_at"][:4] for record in after[1:]} == {"2020"}


def test_processes_that_keep_in_one_folder_take_no_name_twice(pcm, tmp_path, monkeypatch):
    stamps = iter(["20300101T000000000000"] * 2 + ["20300101T000000000001"])
    monkeypatch.setattr(TriggerStore, "_stamp", lambda self: next(stamps))
    stores = [TriggerStore(tmp_path) for _ in range(2)]
    for store in stores:  # the second finds the first one's name taken
        store.put({"event": EVENT, "audio_start_s": 0}, pcm[:1600])
        store.close()
        assert store.kept == 1
    assert len(read_triggers(tmp_path)) == 2


KEEPER = """
import os, signal, sys
import numpy as np
from kws_stream import files
from kws_stream.live import TriggerStore

folder, point, at = sys.argv[1], sys.argv[2], int(sys.argv[3])
calls, real = [], getattr(os, point)

def killed(*args):
    calls.append(1)
    if len(calls) == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args)

event = {"keyword": "x", "score": 0.5, "start_s": 0.1, "time_s": 0.5}
store = TriggerStore(folder)
setattr(os, point, killed)
for _ in range(9):
    store.put({"event": event, "audio_start_s": 0.0}, np.zeros(1600, np.float32))
store.close()
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
@pytest.mark.parametrize(("point", "at"), [(p, n) for p in ("fsync", "replace") for n in (3, 4, 5)])
def test_what_a_killed_keeper_leaves_is_cleared_away(point, at, tmp_path):
    words = [sys.executable, "-c", KEEPER, str(tmp_path), point, str(at)]
    assert subprocess.run(words, check=False, cwd=ROOT).returncode == -signal.SIGKILL
    whole = [path.stem for path in tmp_path.glob("trigger-*.json")]
    old = f"{NAME}.part.wav"  # as an earlier version left it
    (tmp_path / old).write_bytes(b"RIFF")
    told = []
    assert [record.name for record in read_triggers(tmp_path, told.append)] == sorted(whole)
    assert told == []
    TriggerStore(tmp_path).close()
    assert names(tmp_path) == sorted(f"{stem}{end}" for stem in whole for end in (".json", ".wav"))


@pytest.mark.skipif(os.name == "nt", reason="no locks there")
def test_audio_that_another_process_is_about_to_record_stays(tmp_path):
    (tmp_path / f"{NAME}.wav").write_bytes(b"RIFF")
    (tmp_path / "trigger-happy.wav").write_bytes(b"RIFF")
    with files.locked(tmp_path, shared=True):
        TriggerStore(tmp_path).close()
    assert names(tmp_path) == [f"{NAME}.wav", "trigger-happy.wav"]
    TriggerStore(tmp_path).close()
    assert names(tmp_path) == ["trigger-happy.wav"]


def test_listen_keeps_triggers_only_when_asked_and_people_label_them(
    pack, pcm, tmp_path, monkeypatch
):
    backend = FakeSounddevice(np.split(pcm, 200))
    monkeypatch.setitem(sys.modules, "sounddevice", backend)
    folder = tmp_path / "kept"
    result = run(
        *("listen", "-m", pack, "--json", "--duration", 4, "--keep-triggers", folder),
    )
    assert result.exit_code == 0
    events = [json.loads(line) for line in result.stdout.splitlines()]
    kept = read_triggers(folder)
    assert f"kept {len(kept)} triggers" in result.stderr
    assert len(kept) == len(events)
    listed = run("triggers", "list", folder).stdout.splitlines()
    assert len(listed) == len(kept)
    assert run("triggers", "label", folder, "1", "no").exit_code == 0
    assert run("triggers", "label", folder, kept[1].name, "yes").exit_code == 0
    assert [record.label for record in read_triggers(folder)][:2] == ["no", "yes"]
    lines = [
        json.loads(line)
        for line in run("triggers", "list", folder, "--json").stdout.split("\n")[:-1]
    ]
    assert [line["label"] for line in lines][:2] == ["no", "yes"]
    assert run("triggers", "label", folder, "1", "clear").exit_code == 0
    assert read_triggers(folder)[0].label is None
    for term, label in (("false-accept", "no"), ("true-accept", "yes")):
        assert run("triggers", "label", folder, "1", term).stdout.endswith(f": {label}\n")
        record = read_triggers(folder)[0]
        assert record.values["label"] == record.label == label  # stored as documented
        assert [word["word"] for word in record.values["words"]] == (
            [record.values["event"]["keyword"]] if label == "yes" else []
        )
    assert run("triggers", "label", folder, "99", "yes").exit_code == 1
    assert run("triggers", "label", folder, "1").exit_code == 2
    refused = run("listen", "--exec", " ")
    assert refused.exit_code == 2
    assert "need a shell command, got an empty one" in refused.stderr


def test_play_and_the_questions_of_label(pack, pcm, tmp_path, monkeypatch):
    keep(tmp_path, pack, pcm)
    played = []
    backend = FakeSounddevice()
    backend.play = lambda samples, rate: played.append((len(samples), rate))
    backend.wait = lambda: None
    monkeypatch.setitem(sys.modules, "sounddevice", backend)
    assert run("triggers", "play", tmp_path, "1").exit_code == 0
    assert played == [(len(trigger_audio(read_triggers(tmp_path)[0])), 16_000)]
    result = run("triggers", "label", tmp_path, input="yes\nskip\nno\nquit\n")
    assert result.exit_code == 0
    labels = [record.label for record in read_triggers(tmp_path)]
    assert labels[:4] == ["yes", None, "no", None]
    result = run("triggers", "label", tmp_path, input="false-accept\nmaybe\ntrue-accept\nquit\n")
    assert result.exit_code == 0
    labels = [record.label for record in read_triggers(tmp_path)]
    assert labels[:4] == ["yes", "no", "no", "yes"]


def test_the_help_of_label_and_evaluate_has_the_terms_of_the_field():
    for words, terms in (
        (["triggers", "label"], ["true-accept", "false-accept"]),
        (["evaluate"], ["continuous (carried)", "reset (fresh)"]),
    ):
        text = " ".join(run(*words, "--help").stdout.split())
        assert [term for term in terms if term not in text] == []


@pytest.mark.skipif(os.name == "nt", reason="a shell of another kind")
def test_exec_runs_a_command_for_each_event_with_the_event_in_its_environment(
    pack, pcm, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "sounddevice", FakeSounddevice(np.split(pcm[:16_000], 50)))
    out = tmp_path / "out"
    command = f'echo "$KWS_INDEX $KWS_KEYWORD $KWS_TIME_S $KWS_MODEL" >> {out}'
    result = run("listen", "-m", pack, "--json", "--duration", 1, "--exec", command)
    assert result.exit_code == 0
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events
    assert f"ran the command {len(events)} times\n" in result.stderr
    assert sorted(out.read_text().splitlines()) == sorted(
        f"{e['index']} {e['keyword']} {e['time_s']:.3f} tiny" for e in events
    )


@pytest.mark.parametrize("command", [("label", "3", "true-accept"), ("play", "3")])
def test_a_folder_without_triggers_has_none_to_name(command, tmp_path) -> None:
    name, *rest = command
    result = CliRunner().invoke(main, ["triggers", name, str(tmp_path), *rest])
    assert result.exit_code == 1
    assert (
        result.stderr
        == f"kws-stream: error: {tmp_path}: need a folder with triggers, got one without any\n"
    )
