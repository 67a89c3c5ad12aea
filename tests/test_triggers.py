"""What is kept of triggers, and what people can do with it."""

import json
import os
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner

from kws_stream import KeywordSpotter
from kws_stream.cli import main
from kws_stream.errors import DataError
from kws_stream.live import Hearing, TriggerKeeper, TriggerStore, read_triggers, trigger_audio
from tests.pack_factory import build_pack
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


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', "[" * 50_000])
def test_a_damaged_record_is_a_sentence(text, tmp_path):
    (tmp_path / "trigger-1-x.json").write_text(text)
    result = run("triggers", "list", tmp_path)
    assert result.exit_code == 1
    assert "need the record of a trigger" in result.stderr


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
    assert run("triggers", "label", folder, "99", "yes").exit_code == 1
    assert run("triggers", "label", folder, "1").exit_code == 2


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
