"""Packs of another sample rate than speech's: one pipeline, rate and frames from the pack."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from kws_stream import KeywordSpotter, engine, packs
from kws_stream.audio import FileSource, PipeSource, Resampler
from kws_stream.cli import main
from kws_stream.detector import DetectorSettings
from kws_stream.errors import AudioError, PackError, ParameterError
from kws_stream.export.firmware import firmware_model
from kws_stream.features import FeatureSettings, build, centres_of
from kws_stream.live import PowerMeter, passages
from tests.pack_factory import build_pack
from tests.test_engine import HEART

RATE = 250
FRAME = 8


def heart(seconds: float = 20.0, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Pulses about once a second in noise, float32."""
    time_s = np.arange(round(seconds * rate)) / rate
    pulses = 0.5 * np.exp(-(((time_s % 0.9) - 0.4) ** 2) / (2 * 0.012**2))
    return (pulses + 0.02 * np.sin(2 * np.pi * 0.3 * time_s)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack whose random network fires often."""
    detector = DetectorSettings(window_s=0.1, threshold=0.2, rearm=1.0, refractory_s=0.3)
    place = tmp_path_factory.mktemp("packs") / "heart"
    return build_pack(place, feature_settings=HEART, detector=detector.as_dict(), seed=2)


def test_rate_and_frame_stay_with_the_pack(folder: Path, tmp_path: Path) -> None:
    copy = packs.save_copy(folder, tmp_path / "copy")
    settings = FeatureSettings.from_dict(packs.load(copy).features)
    assert (settings.rate_hz, settings.frame_samples, settings.frame_s) == (RATE, FRAME, 0.032)
    assert FeatureSettings.from_dict(settings.as_dict()) == settings
    spotter = KeywordSpotter(copy)
    assert (spotter.rate_hz, spotter.frame_s) == (RATE, 0.032)


def test_packs_of_speech_say_nothing_of_a_rate() -> None:
    """So that what an older version wrote is what this one writes, byte for byte."""
    assert not {"rate_hz", "hop_samples", "corner_hz"} & FeatureSettings().as_dict().keys()
    for name in packs.list_packs():
        pack = packs.load(name)
        settings = FeatureSettings.from_dict(pack.features)
        assert (settings.rate_hz, settings.hop_samples) == (16_000, 160)
        assert settings.as_dict() == settings.as_dict() | pack.features


def test_times_of_events_count_the_packs_frames(folder: Path) -> None:
    spotter = KeywordSpotter(folder)
    pcm = heart()
    events = spotter.process(pcm)
    assert len(events) > 3
    assert spotter.frames == len(pcm) // FRAME
    assert spotter.time_s == pytest.approx(20.0)
    for event in events:
        assert event.time_s * RATE / FRAME == pytest.approx(round(event.time_s * RATE / FRAME))
        assert 0 < event.time_s <= 20


@pytest.mark.parametrize("cut", [1, 7, 8, 250, 333])
@pytest.mark.parametrize("numpy", [False, True])
def test_any_split_gives_the_same_events(
    folder: Path, cut: int, numpy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pcm = heart()
    whole = KeywordSpotter(folder)
    wanted = whole.process(pcm) + whole.finish()
    if numpy:
        monkeypatch.setattr(engine, "library", None)
    parts = KeywordSpotter(folder)
    got = [e for at in range(0, len(pcm), cut) for e in parts.process(pcm[at : at + cut])]
    assert got + parts.finish() == wanted
    assert parts.power() == whole.power()


def test_power_counts_seconds_of_the_packs_frames(folder: Path) -> None:
    spotter = KeywordSpotter(folder)
    spotter.process(heart())
    power = spotter.power()
    assert power.frames * power.frame_s == pytest.approx(20.0)


def test_a_sensor_is_no_microphone_in_the_power_report(folder: Path) -> None:
    meter = PowerMeter(KeywordSpotter(folder))
    meter.process(heart())
    report = meter.report()
    assert report.seconds == pytest.approx(20.0)
    assert [row.block for row in report.system_rows] == ["analog filterbank, 6 channels"]
    assert any("The sensor and its amplifier are in no row" in note for note in report.notes)
    front_end = report.mcus.rows[0].front_end_nw if report.mcus is not None else 0.0
    assert 0 < front_end < 1000  # 250 samples a second, not 16,000


def test_a_file_of_any_rate_is_heard_at_the_packs(folder: Path, tmp_path: Path) -> None:
    """Times agree within a few frames, whatever the rate of the file."""
    wanted = KeywordSpotter(folder)
    wanted.process(heart())
    for rate in (RATE, 360, 16_000):
        path = tmp_path / f"{rate}.wav"
        soundfile.write(path, heart(rate=rate), rate, subtype="PCM_16")
        spotter = KeywordSpotter(folder)
        list(spotter.events(path))
        assert spotter.time_s == pytest.approx(20.0, abs=2 * spotter.frame_s)
        assert spotter.power().core_nw == pytest.approx(wanted.power().core_nw, rel=0.05)


def test_a_file_at_the_packs_rate_passes_unchanged(tmp_path: Path) -> None:
    sent = (heart() * 32767).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", sent, RATE, subtype="PCM_16")
    with FileSource(tmp_path / "a.wav", to_hz=RATE) as source:
        got = np.concatenate(list(source.blocks()))
    assert np.array_equal(got * 32768, sent)
    blocks = PipeSource(io.BytesIO(sent.astype("<i2").tobytes()), RATE, to_hz=RATE).blocks()
    assert np.array_equal(np.concatenate(list(blocks)), sent)


@pytest.mark.parametrize("rate", [360, 1000, 16_000])
def test_resampling_to_a_slow_rate_gives_the_same_bits_for_any_split(rate: int) -> None:
    sound = heart(rate=rate)
    whole = Resampler(rate, RATE).process(sound, last=True)
    parts = Resampler(rate, RATE)
    got = [parts.process(sound[at : at + 97]) for at in range(0, len(sound), 97)]
    got.append(parts.process(np.zeros(0, np.float32), last=True))
    assert np.array_equal(np.concatenate(got), whole)
    assert len(whole) == pytest.approx(20 * RATE, abs=2)


def test_a_source_of_another_rate_is_refused(folder: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", heart(), RATE)
    with pytest.raises(ParameterError, match=r"250 Hz.*gives 16000 Hz; make it with to_hz=250"):
        list(KeywordSpotter(folder).events(FileSource(tmp_path / "a.wav")))


def test_detect_takes_a_pipe_at_the_packs_rate_or_a_named_one(folder: Path, tmp_path: Path) -> None:
    sent = (heart() * 32767).astype("<i2")
    soundfile.write(tmp_path / "a.wav", sent, RATE, subtype="PCM_16")

    def events(*words: str, data: bytes = b"") -> list[dict[str, object]]:
        done = CliRunner().invoke(
            main,
            ["detect", "-m", str(folder), "--json", *words],
            input=data,
            catch_exceptions=False,
        )
        assert done.exit_code == 0
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return [{k: v for k, v in line.items() if k != "file"} for line in lines]

    of_file = events(str(tmp_path / "a.wav"))
    assert of_file
    assert events("-", data=sent.tobytes()) == of_file
    assert events("--rate", "250", "-", data=sent.tobytes()) == of_file
    slower = events("--rate", "500", "-", data=sent.tobytes())
    assert all(float(str(event["time_s"])) < 12 for event in slower if "time_s" in event)


@pytest.mark.parametrize(
    ("change", "needed"),
    [
        ({"rate_hz": 9}, "rate_hz: need 10 to 192000 Hz, got 9"),
        ({"hop_samples": 12}, "hop_samples: need a multiple of 8 up to 4096, got 12"),
        ({"hop_samples": 0}, "hop_samples: need a multiple of 8"),
        ({"high_hz": 125.0}, "high_hz: need less than 125 Hz, half of rate_hz, got 125"),
        ({"corner_hz": 0.0}, "corner_hz: need 1e-06 to 192000 Hz, got 0"),
        ({"kind": "mel"}, 'kind: need "analog" where rate_hz, hop_samples, corner_hz are set'),
        ({"rate_hz": 250.5}, "rate_hz: need a whole number"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change: dict[str, object], needed: str) -> None:
    with pytest.raises(ParameterError, match=needed):
        build(HEART | change)


def test_the_filters_ring_at_the_centres_whatever_the_rate() -> None:
    """A tone at a centre is loudest in its channel."""
    settings = FeatureSettings.from_dict(HEART | {"agc_s": 1000.0, "slow_s": []})
    centres = centres_of(settings)
    assert centres[0] == pytest.approx(2.0)
    assert centres[-1] == pytest.approx(40.0)
    ratios = (centres[1:] + 1) / (centres[:-1] + 1)  # even on the logarithm of 1 + f
    assert ratios == pytest.approx([ratios[0]] * len(ratios))
    from kws_stream.features import build_bank

    for channel, hz in enumerate(centres):
        bank = build_bank(settings)
        state = bank.start()
        tone = 0.5 * np.sin(2 * np.pi * hz * np.arange(10 * RATE + 1) / RATE)
        for at in range(0, len(tone) - FRAME, FRAME):
            state = bank.step(tone[at : at + FRAME + 1], state)
        assert state.envelope.argmax() == channel


def test_chip_and_firmware_need_frames_of_whole_milliseconds(folder: Path, tmp_path: Path) -> None:
    assert firmware_model(packs.load(folder)).detector.frame_ms == 32
    odd = build_pack(tmp_path / "odd", feature_settings=HEART | {"rate_hz": 360})
    with pytest.raises(
        ParameterError, match=r"odd: need frames of whole milliseconds.*22\.2222 ms"
    ):
        firmware_model(packs.load(odd))


def test_what_hears_speech_alone_refuses_another_rate(folder: Path) -> None:
    with pytest.raises(PackError, match=r"passages: need a model that hears 16000 Hz, but heart"):
        passages(KeywordSpotter(folder), [])
    done = CliRunner().invoke(main, ["listen", "-m", str(folder)])
    assert done.exit_code == 1
    assert "listen: need a model that hears 16000 Hz" in done.output
    done = CliRunner().invoke(main, ["serve", "wyoming", "-m", str(folder), "--max-clients", "1"])
    assert done.exit_code != 0


def test_a_header_with_a_rate_that_no_sensor_has_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", heart(), 9)
    with pytest.raises(AudioError, match=r"need a sample rate of 10..768000 Hz, got 9 Hz"):
        FileSource(tmp_path / "a.wav")
