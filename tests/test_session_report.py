"""The page about a session: what was heard, whatever its length and its pieces."""

import dataclasses
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

pytest.importorskip("matplotlib", reason="needs the extra: pip install 'kws-stream[report]'")

from kws_stream import KeywordSpotter, WakeEvent, evaluation, packs
from kws_stream.cli import main
from kws_stream.evaluation.report import session
from kws_stream.evaluation.report.session import SessionLog
from kws_stream.live import Hearing, PowerMeter, TriggerKeeper, TriggerStore, read_triggers
from tests.pack_factory import build_pack
from tests.test_audio_microphone import FakeSounddevice
from tests.test_cli import noise


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return build_pack(
        tmp_path_factory.mktemp("packs") / "tiny",
        graphs=False,
        detector={"threshold": 0.0, "rearm": 1.0, "refractory_s": 0.2},
    )


@pytest.fixture(scope="module")
def pcm():
    return noise(2.0)[:, 0].astype(np.float32)


def run(*words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


class Page(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.words, self.links = [], []
        self.feed(path.read_text("utf-8"))

    def handle_data(self, data):
        self.words.append(data)

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("src", "href")]

    @property
    def text(self):
        return " ".join(self.words)


def test_detect_writes_a_page_with_every_event_and_no_links_out(pack, pcm, tmp_path):
    sound, out = tmp_path / "a <b>.wav", tmp_path / "page.html"
    soundfile.write(sound, pcm, 16_000, "FLOAT")
    result = run("detect", "-m", pack, "--report", out, sound)
    assert result.exit_code == 0
    assert "wrote" in result.stderr
    page = Page(out)
    spotter = KeywordSpotter(pack)
    events = spotter.process(pcm) + spotter.finish()
    assert f"{len(events)} events" in page.text
    for event in events:
        assert f"{event.time_s:.2f}" in page.words
    for words in ("CR2032", "energy of this session", "simulated", "kHz"):
        assert words in page.text
    assert all(link.startswith(("#", "data:")) for link in page.links)


def test_a_page_tells_the_command_as_it_was_typed(pack, pcm, tmp_path):
    sound, out = tmp_path / "a.wav", tmp_path / "page.html"
    soundfile.write(sound, pcm, 16_000, "FLOAT")
    words = ("--threshold", "0.7", "--threshold", f"{KeywordSpotter(pack).pack.keywords[0]}=0.9")
    assert run("detect", "-m", pack, *words, "--report", out, sound).exit_code == 0
    assert " ".join(words) in Page(out).text


def test_listen_writes_the_same_events(pack, pcm, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", FakeSounddevice(np.split(pcm, 100)))
    out = tmp_path / "page.html"
    result = run("listen", "-m", pack, "--duration", 2, "--report", out, "--json")
    assert result.exit_code == 0
    assert f"{len(result.stdout.splitlines())} events" in Page(out).text
    assert "USB Mic" in Page(out).text


def test_several_files_have_a_part_each_and_a_bad_one_is_told(pack, pcm, tmp_path):
    for name in ("one.wav", "two.wav"):
        soundfile.write(tmp_path / name, pcm, 16_000)
    (tmp_path / "bad.wav").write_bytes(b"")
    out = tmp_path / "page.html"
    files = [tmp_path / name for name in ("one.wav", "bad.wav", "two.wav")]
    result = run("detect", "-m", pack, "--report", out, *files)
    assert result.exit_code == 1
    text = Page(out).text
    assert "2 recordings; 4.0 s heard" in text
    assert "one.wav" in text
    assert "two.wav" in text


@pytest.mark.parametrize("blocks", [1, 77])
def test_a_log_is_bounded_and_joins_neighbours(pack, pcm, blocks, monkeypatch):
    monkeypatch.setattr(session, "COLUMNS", 16)
    spotter = KeywordSpotter(pack)
    log = SessionLog(spotter)
    log.begin("noise")
    hearing = Hearing(spotter, [log])
    for block in np.array_split(pcm, blocks):
        hearing.hear(block)
    log.finish()
    (stream,) = log.streams
    assert len(stream.heat) <= 2 * 16
    frames = round(stream.seconds / spotter.frame_s)
    size = round(stream.column_s / spotter.frame_s)
    assert len(stream.heat) == -(-frames // size)
    seen = KeywordSpotter(pack).observe(pcm)
    assert stream.heat.max() == max(piece.features[:, :16].max() for piece in seen)
    assert stream.event_count == len(KeywordSpotter(pack).process(pcm))
    whole = frames // size * size
    mean = stream.power[: frames // size].sum(axis=1).mean()
    assert mean == pytest.approx(spotter.power().core_nw, rel=0.2)
    assert whole <= frames


def test_nothing_heard_leaves_no_page(pack, tmp_path):
    out = tmp_path / "page.html"
    assert run("detect", "-m", pack, "--report", out, tmp_path / "none.wav").exit_code == 1
    assert not out.exists()
    assert run("detect", "-m", pack, "--report", tmp_path, "x.wav").exit_code == 2


def test_labelled_triggers_are_recordings_for_tune(pack, pcm, tmp_path):
    folder = tmp_path / "kept"
    spotter = KeywordSpotter(pack)
    store = TriggerStore(folder)
    hearing = Hearing(spotter, [TriggerKeeper(store, spotter)])
    hearing.hear(pcm)
    hearing.close()
    store.close()
    records = read_triggers(folder)
    records[0].set_label("yes")
    records[1].set_label("no")
    (stream,) = evaluation.streams_of([folder])
    assert [path.stem for path in stream.files] == [records[0].name, records[1].name]
    words = [word for piece in stream.pieces() for word in piece.words]
    event = records[0].values["event"]
    assert [word.word for word in words] == [event["keyword"]]
    start_s = records[0].values["audio_start_s"]
    assert words[0].end_s == pytest.approx(event["time_s"] - start_s)
    result = run("tune", pack, folder)
    assert result.exit_code == 0, result.output
    assert "1 keyword spoken" in result.stdout
    assert packs.load(pack).name in result.stdout


def test_every_word_that_fired_has_its_curve(tmp_path, pcm):
    words = tuple(f"word{index}" for index in range(24))
    path = build_pack(tmp_path / "many", graphs=False, classes=(*words, "other"), keywords=words)
    meter = PowerMeter(KeywordSpotter(path))
    log = SessionLog(meter.spotter)
    log.begin("noise")
    (piece, *_), fired = meter.spotter.observe(pcm), words[3:15]
    events = [WakeEvent(word, 0.1 * at, 0.5, 0.0, at) for at, word in enumerate(fired)]
    log.hear(pcm, [dataclasses.replace(piece, events=events)])
    out = tmp_path / "page.html"
    out.write_text(session.render_session(log, meter.spotter, meter.report()), "utf-8")
    page = Page(out)
    for word in fired:  # at its event, in the table, and beside its curve
        assert page.words.count(word) == 3, word
    drawn = [word for word in words if word in page.words]
    assert f"left out are {len(words) - len(drawn)} that fired nowhere" in page.text
