"""The engine in WebAssembly: the events of Python, to the last bit, in Node.js and in a browser."""

import contextlib
import functools
import http.server
import json
import shutil
import subprocess
import sys
import threading
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from kws_stream import KeywordSpotter, packs
from kws_stream.cli import main
from kws_stream.constants import RECORDING
from kws_stream.detector import DetectorSettings
from kws_stream.errors import FirmwareError, ParameterError
from kws_stream.export.web import PACKAGE, export_web, web_model
from tests.pack_factory import build_pack
from tests.tiny_network import mcu_pack, random_network
from tests.tiny_verifier import cascade_pack

ROOT = Path(__file__).parents[1]
NODE = shutil.which("node")
CLANG = shutil.which("clang")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)

# Hears a raw recording in pieces of the lengths given, over and over; prints what came of it.
HEAR = """
import { readFileSync as read } from "node:fs";
const [folder, wasm, sound, how, verify, ...lengths] = process.argv.slice(2);
const { KeywordSpotter } = await import(`${folder}/index.js`);
const bytes = (path) => new Uint8Array(read(path)).buffer;
const options = verify === "true" ? {} : { verify: false };
const spotter = new KeywordSpotter(bytes(`${folder}/model.kws`), bytes(wasm), options);
const pcm = how === "float" ? new Float32Array(bytes(sound)) : new Int16Array(bytes(sound));
const events = [], rows = { scores: [], bits: [], candidates: [], features: [] };
for (let at = 0, turn = 0; at < pcm.length; turn++) {
  const piece = pcm.subarray(at, at += Number(lengths[turn % lengths.length]));
  if (how !== "observe") { events.push(...spotter.process(piece)); continue; }
  for (const frame of spotter.observe(piece)) {
    events.push(...frame.events);
    for (const name in rows) rows[name].push(Array.from(frame[name]));
  }
}
const live = events.length;
events.push(...spotter.finish());
const { frames, triggers, verifies } = spotter;
const again = spotter.finish().length + live === events.length; // it has changed nothing
const facts = { power: spotter.power(), frames, triggers, verifies, again };
console.log(JSON.stringify({ events, ...facts, ...rows }));
"""


def recording(seconds=None):
    pcm, rate = soundfile.read(RECORDING, dtype="int16")
    assert rate == 16_000
    return pcm[: None if seconds is None else 16_000 * seconds]


def hear(folder, pcm, *lengths, how="events", wasm=None, verify=True):
    """What the package in `folder` makes of a recording."""
    (folder / "hear.mjs").write_text(HEAR, "utf-8")
    (folder / "sound").write_bytes(pcm.tobytes())
    wasm = wasm or folder / "kws.wasm"
    flag = str(verify).lower()
    command = [NODE, "hear.mjs", folder, wasm, folder / "sound", how, flag, *map(str, lengths)]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("web") / "commands-12"
    export_web(packs.load("commands-12"), made)
    return made


def told(spotter, pcm):
    """What Python tells of a recording: its events, as JSON has them, and its triggers."""
    spotter.reset()
    events = [event.as_dict() for event in spotter.process(pcm) + spotter.finish()]
    return events, spotter.triggers


@pytest.mark.skipif(NODE is None, reason="needs Node.js")
def test_events_and_power_are_those_of_python_for_any_split(folder):
    pcm = recording()
    spotter = KeywordSpotter("commands-12")
    events, triggers = told(spotter, pcm)
    assert len(events) >= 10
    for lengths in ((len(pcm),), (1, 319, 0, 777), (160,)):
        heard = hear(folder, pcm, *lengths)
        assert heard["events"] == events
        assert heard["again"]
        assert heard["triggers"] == triggers
        assert heard["frames"] == spotter.frames
    power = spotter.power()
    for name in ("core_nw", "cells_nw", "feedforward_nw", "classifier_nw"):
        # sums of floats in another order: the last digits may differ
        assert heard["power"][name] == pytest.approx(getattr(power, name), rel=1e-9)


@pytest.fixture(scope="module")
def rejecting(tmp_path_factory):
    """yes-16, whose verifier rejects a trigger in the packaged recording."""
    made = tmp_path_factory.mktemp("web") / "yes-16"
    export_web(packs.load("yes-16"), made)
    return made


@pytest.mark.skipif(NODE is None, reason="needs Node.js")
def test_what_the_verifier_rejects_is_no_event(rejecting):
    pcm = recording()
    events, triggers = told(KeywordSpotter("yes-16"), pcm)
    alone, all_triggers = told(KeywordSpotter("yes-16", verify=False), pcm)
    assert 0 < len(events) < len(alone) == all_triggers == triggers
    for lengths in ((len(pcm),), (1, 319, 0, 777)):
        heard = hear(rejecting, pcm, *lengths)
        assert (heard["events"], heard["triggers"]) == (events, triggers)
        assert heard["verifies"]
    assert hear(rejecting, pcm, 500, how="observe")["events"] == events
    heard = hear(rejecting, pcm, 500, verify=False)
    assert (heard["events"], heard["triggers"]) == (alone, triggers)
    assert not heard["verifies"]


@pytest.mark.skipif(NODE is None, reason="needs Node.js")
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5, 7])  # of others all scores are equal
def test_any_verifier_confirms_as_in_python(seed, tmp_path):
    """Packs that trigger all the time, so that many triggers wait at once."""
    rng = np.random.default_rng(seed)
    looks = tuple(sorted(rng.choice(26, size=1 + seed % 5, replace=False).tolist()))
    frames, layers = int(rng.integers(1, 76)), int(rng.integers(0, 6))
    network = random_network(rng, frames, looks=looks, layers=layers)
    pcm = (rng.standard_normal(48_000) * np.linspace(0, 9000, 48_000)).astype(np.int16)
    pcm = pcm[: -int(rng.integers(1, 9000))]
    scores = [
        event["verifier_score"]
        for event in told(KeywordSpotter(mcu_pack(tmp_path / "all", 0.0, network)), pcm)[0]
    ]
    threshold = float(np.quantile(scores, 0.8))
    pack = packs.load(mcu_pack(tmp_path / "half", threshold, network))
    events, triggers = told(KeywordSpotter(pack), pcm)
    assert 0 < len(events) < triggers
    export_web(pack, tmp_path / "web")
    for lengths in ((len(pcm),), tuple(rng.integers(1, 20_000, 3).tolist())):
        heard = hear(tmp_path / "web", pcm, *lengths)
        assert (heard["events"], heard["triggers"]) == (events, triggers)
        assert heard["again"]


@pytest.mark.skipif(NODE is None, reason="needs Node.js")
def test_a_word_at_the_very_end_is_found_as_in_python(folder):
    pcm = recording(10)
    last = KeywordSpotter("commands-12", verify=False).process(pcm)[-1]
    pcm = pcm[: round(16_000 * (last.time_s - 0.1)) + 77]
    for verify in (True, False):
        spotter = KeywordSpotter("commands-12", verify=verify)
        before = spotter.process(pcm)
        end = spotter.finish()
        assert [event.keyword for event in end] == [last.keyword]
        heard = hear(folder, pcm, 400, verify=verify)
        assert heard["events"] == [event.as_dict() for event in before + end]


@pytest.mark.skipif(NODE is None, reason="needs Node.js")
@pytest.mark.parametrize("name", ["yes-4", "hey-computer"])
def test_every_number_on_the_way_is_that_of_python(name, tmp_path):
    pcm = recording(6)
    export_web(packs.load(name), tmp_path / "web")
    heard = hear(tmp_path / "web", pcm, 500, how="observe")
    seen = KeywordSpotter(name).observe(pcm)
    traces = [piece.trace for piece in seen]
    assert heard["features"] == np.concatenate([piece.features for piece in seen]).tolist()
    assert heard["scores"] == np.concatenate([piece.smoothed for piece in seen]).tolist()
    bits = np.concatenate([np.concatenate(trace.bits, axis=1) for trace in traces])
    assert heard["bits"] == bits.astype(int).tolist()
    candidates = np.concatenate([np.concatenate(trace.candidates, axis=1) for trace in traces])
    assert heard["candidates"] == candidates.tolist()


@pytest.mark.skipif(NODE is None, reason="needs Node.js")
def test_float_samples_are_rounded_to_the_same_grid(folder):
    rng = np.random.default_rng(3)
    pcm = recording(8).astype(np.float32) / 32768
    pcm += (rng.integers(-2, 3, len(pcm)) / 4 / 32768).astype(np.float32)  # halves among them
    pcm[1000:1010] = 1.5
    events, _ = told(KeywordSpotter("commands-12"), pcm)
    assert events
    assert hear(folder, pcm, 333, how="float")["events"] == events


@pytest.mark.skipif(NODE is None or CLANG is None, reason="needs Node.js and clang")
def test_the_engine_that_is_shipped_is_built_from_these_sources(folder, tmp_path):
    built = tmp_path / "kws.wasm"
    script = ROOT / "scripts" / "build_wasm.py"
    made = subprocess.run(
        [sys.executable, script, "--out", built], capture_output=True, text=True, timeout=300
    )
    if made.returncode and "wasm" in made.stderr and "error: unable" in made.stderr:
        pytest.skip("needs clang's WebAssembly target and lld")
    assert made.returncode == 0, made.stderr
    pcm = recording(10)
    again = hear(folder, pcm, 400, how="observe", wasm=built)
    assert again == hear(folder, pcm, 400, how="observe")
    assert again["events"]


@pytest.mark.skipif(NODE is None, reason="needs Node.js")
def test_bad_input_is_told_in_a_sentence(folder):
    wrong = """
    import { readFileSync as read } from "node:fs";
    const { KeywordSpotter } = await import(`${process.argv[2]}/index.js`);
    const bytes = (name) => new Uint8Array(read(`${process.argv[2]}/${name}`)).buffer;
    const model = bytes("model.kws"), wasm = bytes("kws.wasm");
    const spotter = new KeywordSpotter(model, wasm);
    const damaged = (file) => { // the verifier's first number is none of this version
      const copy = file.slice();
      new Uint8Array(copy)[copy.byteLength - spotter.model.verifier.bytes] ^= 1;
      return copy;
    };
    const tries = [
      () => new KeywordSpotter(wasm, wasm), () => new KeywordSpotter(model.slice(0, 9000), wasm),
      () => new KeywordSpotter(model.slice(0, model.byteLength - 8), wasm),
      () => new KeywordSpotter(new ArrayBuffer(3), wasm),
      () => spotter.process([1, 2]), () => spotter.process(new Float32Array([0, NaN])),
      () => spotter.setThresholds({ yes: 0.125, maybe: 0.5 }),
      () => spotter.setThresholds({ yes: 2 }),
      () => spotter.setThresholds({ toString: 0.5 }), () => spotter.setThresholds({ yes: null }),
      () => new KeywordSpotter(bytes("plain.kws"), wasm, { verify: true }),
      () => new KeywordSpotter(damaged(model), wasm),
    ];
    for (const attempt of tries) {
      try { attempt(); console.log("nothing"); } catch (error) { console.log(error.message); }
    }
    console.log(spotter.process(new Int16Array(0)).length, spotter.thresholds.yes === 0.125);
    """
    (folder / "wrong.mjs").write_text(wrong, "utf-8")
    (folder / "plain.kws").write_bytes(web_model(packs.load("yes-4")))
    ran = subprocess.run(
        [NODE, "wrong.mjs", folder], cwd=folder, capture_output=True, text=True, timeout=60
    )
    lines = ran.stdout.splitlines()
    assert len(lines) == 13, ran.stderr
    assert all("need" in line for line in lines[:12]), lines
    assert lines[10].startswith("verify: need a model with a verifier, and yes-4 has none")
    assert lines[12] == "0 false"


def test_the_package_is_complete_and_tells_its_version_and_licences(folder):
    facts = json.loads((folder / "package.json").read_text("utf-8"))
    assert facts["version"] == __import__("kws_stream").__version__
    for name in ("LICENSE", "NOTICE"):
        assert (PACKAGE / name).read_bytes() == (ROOT / name).read_bytes()
    for target in facts["files"]:
        assert list(folder.glob(target)), target
    page = (folder / "demo" / "index.html").read_text("utf-8")
    assert 'src="demo.js"' in page
    assert "page.js" not in page


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("kept", "utf-8")
    with pytest.raises(FirmwareError, match="need a new or empty folder"):
        export_web(packs.load("yes-4"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_model_without_a_filterbank_is_refused(tmp_path):
    build_pack(tmp_path / "pack", graphs=False, feature_settings={"kind": "mel"})
    with pytest.raises(ParameterError, match="need the analog filterbank"):
        web_model(packs.load(tmp_path / "pack"))


def test_a_window_that_the_engine_has_no_room_for_is_refused(tmp_path):
    for window_s, fits in ((327.67, True), (327.68, False)):
        detector = DetectorSettings(window_s=window_s).as_dict()
        build_pack(tmp_path / f"{fits}", graphs=False, detector=detector)
        with contextlib.nullcontext() if fits else pytest.raises(ParameterError, match="32767"):
            web_model(packs.load(tmp_path / f"{fits}"))


@pytest.mark.skipif(NODE is None, reason="needs Node.js")
def test_power_of_currents_on_a_fine_grid_is_that_of_python(tmp_path):
    settings = {"step": 2.0**-20, "high": 1.0}
    build_pack(tmp_path / "pack", graphs=False, feature_settings=settings)
    export_web(packs.load(tmp_path / "pack"), tmp_path / "web")
    heard = hear(tmp_path / "web", recording(2), 500)
    spotter = KeywordSpotter(tmp_path / "pack")
    spotter.process(recording(2))
    for name in ("cells_nw", "feedforward_nw", "classifier_nw"):
        assert heard["power"][name] == pytest.approx(getattr(spotter.power(), name), rel=1e-12)


def test_the_command_tells_what_it_wrote_and_how_to_look_at_it(tmp_path):
    result = CliRunner().invoke(main, ["export-web", "yes-4", "-o", str(tmp_path / "out")])
    assert result.exit_code == 0
    assert (tmp_path / "out" / "model.kws").exists()
    assert "http://localhost:8000/demo/" in result.output
    assert "note" not in result.stderr


def test_a_verifier_for_a_host_is_left_out_with_a_note(tmp_path):
    pack = cascade_pack(tmp_path / "host")
    result = CliRunner().invoke(main, ["export-web", str(pack), "-o", str(tmp_path / "out")])
    assert result.exit_code == 0
    note = "note: the verifier of host is left out, as a browser runs none of the kind host"
    assert note in result.stderr
    result = CliRunner().invoke(main, ["export-web", "yes-16", "-o", str(tmp_path / "mcu")])
    assert "note" not in result.stderr


@contextlib.contextmanager
def served(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


# The recording through the worklet, as the page connects it, without waiting for real time.
OFFLINE = """async () => {
  const bytes = async (url) => (await fetch(url)).arrayBuffer();
  const decoder = new OfflineAudioContext(1, 1, 16000);
  const sound = await decoder.decodeAudioData(await bytes("demo.flac"));
  const context = new OfflineAudioContext(1, sound.length + 16000, 16000);
  await context.audioWorklet.addModule("../worklet.js");
  const processorOptions = { model: await bytes("../model.kws"), wasm: await bytes("../kws.wasm") };
  const node = new AudioWorkletNode(context, "kws-stream", { processorOptions });
  const source = new AudioBufferSourceNode(context, { buffer: sound });
  source.connect(node).connect(context.destination);
  source.start();
  const events = [];
  const done = new Promise((resolve) => {
    node.port.onmessage = ({ data }) => {
      events.push(...data.events);
      if (data.finished) resolve(events);
    };
  });
  await context.startRendering();
  node.port.postMessage({ finish: true });
  return Promise.race([done, new Promise((resolve) => setTimeout(() => resolve(events), 3000))]);
}"""


@contextlib.contextmanager
def page_of(folder, sound):
    """The demo page of a package in Chromium, whose microphone hears `sound`; what went wrong."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    flags = [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={sound}",
        "--autoplay-policy=no-user-gesture-required",
    ]
    with served(folder) as address, playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=flags, chromium_sandbox=False)
        try:
            view = browser.new_page()
            faults = []
            view.on("pageerror", lambda error: faults.append(str(error)))
            view.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
            view.goto(f"{address}/demo/")
            view.wait_for_selector(".score")
            yield view
            assert faults == []
        finally:
            browser.close()


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_in_a_browser_the_worklet_gives_the_events_of_detect_and_the_page_moves(folder, tmp_path):
    pcm = recording()
    expected = [event.as_dict() for event in KeywordSpotter("commands-12").process(pcm)]
    sound = tmp_path / "sound.wav"
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(pcm[: 16_000 * 6].tobytes())
    with page_of(folder, sound) as view:
        assert view.inner_text("#model") == "commands-12"
        assert not view.is_visible("#server")
        assert view.evaluate(OFFLINE) == expected
        for button in ("#demo", "#browser"):
            view.click(button)
            view.wait_for_selector("#events li", timeout=30_000)
            power = view.inner_text("#power tr:nth-child(2)")
            assert "nW" in power or "µW" in power
            first = view.inner_text("#events li:last-child")
            assert expected[0]["keyword"] in first
            view.wait_for_function(
                "/has confirmed [1-9][0-9]* of [1-9]/.test(document.all.status.textContent)"
            )
            view.click("#stop")


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_in_a_browser_the_verifier_rejects_what_it_rejects_in_detect(rejecting, tmp_path):
    pcm = recording()
    events, triggers = told(KeywordSpotter("yes-16"), pcm)
    assert 0 < len(events) < triggers
    alone, _ = told(KeywordSpotter("yes-16", verify=False), pcm)
    without = OFFLINE.replace("wasm: await", "verify: false, wasm: await")
    with page_of(rejecting, tmp_path / "none.wav") as view:
        assert view.evaluate(OFFLINE) == events
        assert view.evaluate(without) == alone
