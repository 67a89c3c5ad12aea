"""The command line by click's runner: what it prints, and what it says to bad and odd input."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

import kws_stream
from kws_stream import KeywordSpotter, engine, packs
from kws_stream.cli import main
from kws_stream.power import Activity
from tests.pack_factory import build_pack, replace_file

EVENT = re.compile(r"^ *\d+\.\d\d s  (yes|no)  score [01]\.\d\d  \(from \d+\.\d\d s\)$")


@pytest.fixture(scope="module")
def pack(tmp_path_factory) -> Path:
    """Random weights; with a low threshold it fires on noise."""
    return build_pack(
        tmp_path_factory.mktemp("packs") / "tiny",
        graphs=False,
        detector={"threshold": 0.0, "rearm": 1.0, "refractory_s": 0.2},
    )


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "noise.wav"
    soundfile.write(path, noise(2.0), 16_000, "PCM_16")
    return path


def noise(seconds: float, rate: int = 16_000, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Noise that comes and goes, so that scores move."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    swell = 0.2 * np.sin(2 * np.pi * 2 * t) ** 2
    return swell[:, None] * rng.uniform(-1, 1, (len(t), channels))


def run(*words: object, **settings):
    """The result; an exception that is no exit is a failure of the test."""
    result = CliRunner().invoke(main, [str(word) for word in words], **settings)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def json_lines(result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def expected_events(pack, path, **settings) -> list[dict]:
    events = KeywordSpotter(pack, **settings).events(path)
    return [{"type": "event", "file": str(path), **event.as_dict()} for event in events]


def sentence(result) -> str:
    """The one message of a run that failed."""
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("kws-stream: error: ")
    return line


def test_version():
    wanted = f"kws-stream, version {kws_stream.__version__} (engine: {engine.kind})\n"
    assert run("--version").stdout == wanted


def test_detect_prints_a_line_for_each_event(pack, sound):
    result = run("detect", "-m", pack, sound)
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert result.stderr == ""
    assert all(map(EVENT.match, lines))
    assert len(lines) == len(expected_events(pack, sound)) > 1


def test_json_lines_are_the_events_of_the_library(pack, sound):
    assert json_lines(run("detect", "--model", pack, "--json", sound)) == expected_events(
        pack, sound
    )


def test_each_file_is_a_stream_of_its_own(pack, sound):
    result = run("detect", "-m", pack, "--json", sound, sound)
    assert json_lines(result) == 2 * expected_events(pack, sound)
    named = run("detect", "-m", pack, sound, sound).stdout.splitlines()
    assert all(line.startswith(f"{sound}: ") for line in named)


def test_the_power_of_several_files_is_over_all_their_frames(pack, sound):
    power = json_lines(run("detect", "-m", pack, "--json", "--power-report", sound, sound))[-1]
    spotter = KeywordSpotter(pack)
    activity = Activity(spotter.pack.network.parameters)
    samples = soundfile.read(sound, dtype="float32")[0]
    for _ in range(2):
        spotter.reset()
        for trace in spotter.trace(samples):
            activity.add(trace)
    total = activity.estimate(spotter.pack.network, frame_s=spotter.frame_s)
    assert list(power)[:5] == ["type", "core", "chip", "system", "rows"]
    assert power["type"] == "power"
    assert power["core"]["typical"] == total.core_nw


def test_reset_forgets_the_power_unless_told_to_keep_it(pack):
    spotter = KeywordSpotter(pack)
    spotter.process(np.zeros(16_000, np.float32))
    spotter.reset(keep_power=True)
    assert (spotter.frames, spotter.power().frames) == (0, 100)
    spotter.reset()
    assert spotter.power().frames == 0


def test_the_report_follows_the_events_as_a_table(pack, sound):
    lines = run("detect", "-m", pack, "--power-report", sound).stdout.splitlines()
    report = next(i for i, line in enumerate(lines) if "power over 2 s of sound" in line)
    assert report == len(expected_events(pack, sound))
    assert lines[report].startswith(f"tiny 1.0.0 on {sound.name}: ")
    assert max(map(len, lines)) <= 80


def test_the_packaged_recording_has_a_power_report(pack):
    result = run("--power-report", "--json", "-m", pack)
    assert result.exit_code == 0
    assert list(json.loads(result.stdout))[:4] == ["core", "chip", "system", "rows"]
    assert "= system" in run("--power-report", "-m", pack).stdout


@pytest.mark.parametrize("model", packs.list_packs())
def test_the_power_report_is_a_screen_that_begins_with_the_model(model):
    lines = run("--power-report", "-m", model).stdout.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith(f"{model} {packs.load(model).version} on the packaged recording: ")
    assert all(f"= {part}" in "\n".join(lines) for part in ("core", "chip", "system"))
    assert "--full" in lines[-1]


@pytest.mark.parametrize(
    "words",
    [("--power-report", "--full"), ("--full", "--power-report"), ("power", "yes-4", "--full")],
)
def test_the_whole_power_report_is_there_for_who_asks_for_it(words):
    summary, whole = run(*(w for w in words if w != "--full")).stdout, run(*words).stdout
    assert whole.splitlines()[0] == summary.splitlines()[0]
    for words_of_all in ("Notes", "Sources", "Nordic nRF52840", "block 1", "DeltaKWS"):
        assert words_of_all in whole
        assert words_of_all not in summary


def test_the_whole_report_without_a_report_is_wrong_usage(sound):
    assert run("detect", "--full", sound).exit_code == 2


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("detct", "x.wav"), "detect"),
        (("chip", "montcarlo"), "montecarlo"),
        (("model", "lst"), "list"),
        (("triggers", "lable", "x"), "label"),
        (("spice", "netwrok"), "network"),
        (("detect", "--modle", "yes-4", "x.wav"), "--model"),
        (("detect", "-m", "yes4", "x.wav"), "yes-4"),
        (("detect", "-m", "Commands_12", "x.wav"), "commands-12"),
        (("model", "verify", "hey_computer"), "hey-computer"),
        (("detect", "--threshold", "yse=0.5", "x.wav"), "yes"),
        (("serve", "--threshold", "Stpo=0.5"), "stop"),
        (("chip", "settings", "--set", "mismatch_percnt=3"), "mismatch_percent"),
    ],
)
def test_a_mistyped_name_gets_the_one_that_was_meant(words, meant):
    result = run(*words)
    assert result.exit_code in (1, 2)
    assert f"did you mean {meant}?" in result.stderr.lower().replace("'", "")  # click 8.2: without


def test_a_name_like_no_other_gets_the_list():
    result = run("xyzzy")
    assert result.exit_code == 2
    assert "detect, listen, triggers" in result.stderr
    assert "did you mean" not in result.stderr


def test_thresholds_for_all_and_for_one_keyword(pack, sound):
    assert not json_lines(run("detect", "-m", pack, "--json", "--threshold", "1", sound))
    one = run("detect", "-m", pack, "--json", "--threshold", "no=0", "--threshold", "1", sound)
    assert json_lines(one) == expected_events(pack, sound, threshold={"yes": 1.0, "no": 0.0})


def test_a_file_without_an_event_is_named(pack, sound):
    result = run("detect", "-m", pack, "--threshold", "1", sound)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == f"kws-stream: {sound}: no keyword in 2.00 s\n"


def test_a_pipe_of_raw_samples(pack, sound):
    pcm = soundfile.read(sound, dtype="int16")[0]
    events = [{**event, "file": "-"} for event in expected_events(pack, sound)]
    result = run("detect", "-m", pack, "--json", "-", input=pcm.astype("<i2").tobytes())
    assert json_lines(result) == events
    stereo = np.repeat(pcm, 2).astype("<i2").tobytes()
    options = ("--rate", "16000", "--channels", "2")
    assert json_lines(run("detect", "-m", pack, "--json", *options, "-", input=stereo)) == events


@pytest.mark.parametrize(
    "words",
    [
        ("detect",),
        ("detect", "--threshold", "1.1", "x.wav"),
        ("detect", "--threshold", "-0.1", "x.wav"),
        ("detect", "--threshold", "nan", "x.wav"),
        ("detect", "--threshold", "high", "x.wav"),
        ("detect", "--threshold", "yes=", "x.wav"),
        ("detect", "--threshold", "=0.5", "x.wav"),
        ("detect", "--rate", "9", "-"),
        ("detect", "--channels", "0", "-"),
        ("detect", "--rate", "16000", "x.wav"),
        ("detect", "--nothing-like-this", "x.wav"),
        ("--power-report", "detect", "x.wav"),
        ("--json",),
        ("sing",),
        (),
        ("listen", "--duration", "0"),
        ("listen", "--duration", "nan"),
        ("listen", "--duration", "inf"),
        ("evaluate", "folder"),
        ("evaluate", "folder", "--task", "v2-35"),
        ("evaluate", "folder", "--task", "yes", "--jobs", "0"),
        ("evaluate", "folder", "--task", "yes", "--json-file", "no/such/folder/x.json"),
        ("model",),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2(words):
    result = run(*words)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr
    assert result.stdout == ""


def test_an_unknown_keyword_is_wrong_usage_that_lists_the_known(pack, sound):
    result = run("detect", "-m", pack, "--threshold", "maybe=0.5", sound)
    assert result.exit_code == 2
    assert "it has yes, no" in result.stderr


def bad_file(kind: str, folder: Path, sound: Path) -> Path:
    path = folder / f"{kind}.wav"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "no audio":
        path.write_bytes(b"Call me Ishmael. " * 100)
    elif kind == "folder":
        path.mkdir()
    elif kind == "nan":
        samples = noise(1.0)
        samples[8_000] = np.nan
        soundfile.write(path, samples, 16_000, "FLOAT")
    elif kind == "header alone":
        path.write_bytes(sound.read_bytes()[:20])
    return path


@pytest.mark.parametrize("kind", ["empty", "no audio", "folder", "nan", "header alone", "missing"])
def test_a_bad_file_is_one_sentence_that_names_it(kind, pack, sound, tmp_path):
    path = bad_file(kind, tmp_path, sound)
    result = run("detect", "-m", pack, "--json", path)
    assert path.name in sentence(result)
    assert result.stdout == ""


def test_good_files_among_bad_ones_are_heard(pack, sound, tmp_path):
    bad = [bad_file(kind, tmp_path, sound) for kind in ("empty", "nan")]
    words = ("detect", "-m", pack, "--json", "--power-report", bad[0], sound, bad[1], sound)
    result = run(*words)
    assert result.exit_code == 1
    *events, power = json_lines(result)
    assert events == 2 * expected_events(pack, sound)
    assert power["type"] == "power"
    assert len(result.stderr.splitlines()) == 2


def test_without_any_sound_there_is_no_report(pack, tmp_path):
    result = run("detect", "-m", pack, "--json", "--power-report", tmp_path / "missing.wav")
    assert "missing.wav" in sentence(result)
    assert result.stdout == ""


def test_a_file_cut_short_gives_its_events_and_then_the_sentence(pack, sound, tmp_path):
    cut = tmp_path / "cut.wav"
    cut.write_bytes(sound.read_bytes()[:-16_000])  # half a second less
    result = run("detect", "-m", pack, "--json", "--power-report", cut)
    assert "1.500 s before the cut" in sentence(result)
    *events, power = json_lines(result)
    whole = [event for event in expected_events(pack, sound) if event["time_s"] <= 1.5]
    assert events == [{**event, "file": str(cut)} for event in whole]
    assert power["type"] == "power"


@pytest.mark.parametrize(
    ("data", "words"), [(b"", "got nothing"), (b"RIFF1234WAVE", "WAV"), (b"\0" * 321, "cut")]
)
def test_a_bad_pipe_is_a_sentence(data, words, pack):
    result = run("detect", "-m", pack, "-", input=data)
    assert words in sentence(result)


@pytest.mark.parametrize(
    ("rate", "channels", "subtype"),
    [
        (16_000, 1, "PCM_U8"),
        (16_000, 1, "PCM_24"),
        (16_000, 2, "FLOAT"),
        (8_000, 1, "PCM_16"),
        (96_000, 1, "PCM_16"),
        (44_100, 6, "DOUBLE"),
    ],
)
def test_odd_files_are_heard(rate, channels, subtype, pack, tmp_path):
    path = tmp_path / "odd.wav"
    soundfile.write(path, noise(1.0, rate, channels), rate, subtype)
    result = run("detect", "-m", pack, "--json", path)
    assert result.exit_code == 0
    assert json_lines(result) == expected_events(pack, path)


def test_a_second_of_silence(pack, tmp_path):
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros(16_000), 16_000)
    assert run("detect", "-m", pack, "--power-report", path).exit_code == 0


def broken_pack(kind: str, pack: Path, folder: Path) -> Path:
    copy = folder / "copy"
    shutil.copytree(pack, copy)
    network = copy / json.loads((copy / "manifest.json").read_text("utf-8"))["network"]
    manifest = copy / "manifest.json"
    if kind == "SHA-256":
        network.write_bytes(network.read_bytes() + b"\0")
    elif kind == "plain file name":
        text = manifest.read_text("utf-8")
        manifest.write_text(text.replace(f'"{network.name}"', '"../network.npz"'), "utf-8")
    elif kind == "network":
        replace_file(copy, network.name, b"no arrays")
    elif kind == "unknown settings":
        values = json.loads(manifest.read_text("utf-8"))
        values["detector"]["mood"] = 1
        manifest.write_text(json.dumps(values), "utf-8")
    else:
        return folder / "none"
    return copy


PACK_FAULTS = ["SHA-256", "plain file name", "network", "unknown settings", "shipped model"]


@pytest.mark.parametrize("kind", PACK_FAULTS)
def test_a_bad_pack_is_one_sentence(kind, pack, sound, tmp_path):
    path = broken_pack(kind, pack, tmp_path)
    for words in (
        ("detect", "-m", path, sound),
        ("--power-report", "-m", path),
        ("model", "verify", path),
    ):
        result = run(*words)
        assert result.exit_code == 1
        assert kind in result.stderr
        assert result.stderr.count("kws-stream: error: ") == 1


def test_model_verify_checks_all_of_a_pack(pack):
    result = run("model", "verify", pack)
    assert result.exit_code == 0
    assert "sha256 ok" in result.stdout
    assert result.stdout.endswith("all is well\n")


def test_model_show_tells_what_the_manifest_holds(pack):
    text = run("model", "show", pack).stdout
    for words in (
        "yes no other",
        "4 + 3 cells",
        "random numbers",
        "kws-stream evaluate DIR",
        "MIT",
    ):
        assert words in text


def test_model_list_names_the_shipped_packs(pack, tmp_path, monkeypatch):
    shutil.copytree(pack, tmp_path / "tiny")
    monkeypatch.setattr("kws_stream.packs.loading.models_dir", lambda: tmp_path)
    assert run("model", "list").stdout.startswith("tiny ")
    (tmp_path / "tiny" / "network.npz").unlink()
    assert "network.npz is missing" in sentence(run("model", "list"))


def test_a_bug_keeps_its_traceback(pack, sound, monkeypatch):
    monkeypatch.setattr(KeywordSpotter, "process", lambda self, pcm: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("detect", "-m", pack, sound)


def test_help_lists_every_command_with_a_whole_sentence():
    listed = CliRunner().invoke(main, ["--help"], terminal_width=80).output
    listed += CliRunner().invoke(main, ["chip", "--help"], terminal_width=80).output
    for group in (main, main.get_command(None, "chip")):
        for name in group.list_commands(None):
            (line,) = re.findall(rf"^  {name} .*$", listed, re.MULTILINE)
            assert line.endswith(".")
            assert not line.endswith("...")
