"""The web page: who may talk to it, what it says, and what a browser shows."""

import asyncio
import contextlib
import json
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
import wave

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from kws_stream import KeywordSpotter
from kws_stream.cli import main
from kws_stream.constants import RECORDING
from kws_stream.errors import InputError, ServerError
from kws_stream.features import FeatureSettings, centres_of
from kws_stream.features.filterbank import spaced_centres
from kws_stream.features.mel import mel_bands
from tests.pack_factory import build_pack
from tests.test_audio_microphone import OVERFLOW, UNPLUG, FakeSounddevice
from tests.test_cli import noise

pytest.importorskip("websockets", reason="needs the extra: pip install 'kws-stream[web]'")
pytest.importorskip("starlette", reason="needs the extra: pip install 'kws-stream[web]'")
pytest.importorskip("uvicorn", reason="needs the extra: pip install 'kws-stream[web]'")
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from kws_stream.integrations.web import server
from kws_stream.integrations.web.allowed_hosts import AllowedHosts
from kws_stream.integrations.web.app import MOST_BYTES, Pages
from kws_stream.integrations.web.microphone import SharedMicrophone
from kws_stream.integrations.web.session import PageSession


@contextlib.contextmanager
def page(*words, closed_output=False):
    """The command in a process of its own, and the address that it tells."""
    command = [sys.executable, "-m", "kws_stream", "listen", "--web", "--port", "0", "--json"]
    process = subprocess.Popen(
        [*command, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        if closed_output:
            process.stdout.close()
        line = process.stderr.readline()
        assert line.startswith("kws-stream: open http"), line
        yield line.split()[-1]
    finally:
        process.terminate()
        process.stderr.read()
        process.wait()


@pytest.fixture(scope="module")
def url():
    with page("-m", "yes-4") as address:
        yield address


def live(url, source="demo"):
    return url.replace("http", "ws") + f"/live?source={source}"


def get(url, **headers):
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.status, answer.headers, answer.read().decode()


def test_the_page_and_its_parts_come_with_headers_that_let_nothing_else_in(url):
    for path, words in (
        ("/", "<canvas"),
        ("/view.js", "canvas"),
        ("/page.js", "WebSocket"),
        ("/page.css", "canvas"),
    ):
        status, headers, text = get(url + path)
        assert status == 200
        assert words in text
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "http://" not in text.replace("http://localhost", "")
        assert "https://" not in text


def test_the_page_knows_what_to_draw_before_anything_is_heard(url):
    status, headers, text = get(url + "/model.json")
    facts = json.loads(text)
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    pack = KeywordSpotter("yes-4").pack
    assert facts["model"] == "yes-4"
    assert facts["thresholds"].keys() == set(pack.keywords)
    assert len(facts["centres_hz"]) == facts["channels"] == pack.features["channels"]
    assert (facts["centres_hz"][0], facts["centres_hz"][-1]) == (
        pack.features["low_hz"],
        pack.features["high_hz"],
    )
    assert [len(block) for block in facts["beta1"]] == [
        len(block.beta1) for block in pack.network.parameters.blocks
    ]
    assert isinstance(facts["server_microphone"], str)


def test_the_channels_of_a_mel_front_end_belong_to_the_peaks_of_its_bands():
    settings = FeatureSettings(kind="mel", channels=12)
    centres = centres_of(settings)
    weights = mel_bands(12, settings.low_hz, settings.high_hz)
    bins = np.argmax(weights, axis=0) * 16_000 / 512
    assert np.all(np.abs(centres - bins) <= 16_000 / 512)
    assert np.array_equal(centres_of(FeatureSettings()), spaced_centres(16, 120.0, 6500.0))


def test_another_host_or_origin_is_turned_away(url):
    for path in ("", "/model.json"):
        with pytest.raises(urllib.error.HTTPError, match="421"):
            get(url + path, Host="evil.example:80")

    async def test():
        port = url.rpartition(":")[2]
        for origin in ("http://evil.example", f"http://evil.example:{port}", "null"):
            with pytest.raises(InvalidStatus):
                async with connect(live(url), origin=origin):
                    pass
        async with connect(live(url), origin=url) as link:
            assert json.loads(await link.recv())["type"] == "hello"

    asyncio.run(test())


@pytest.mark.parametrize(
    ("host", "names", "asked", "good"),
    [
        ("127.0.0.1", (), "localhost:8760", True),
        ("127.0.0.1", (), "[::1]:8760", True),
        ("127.0.0.1", (), "192.168.1.2:8760", False),
        ("127.0.0.1", (), "evil.example", False),
        ("127.0.0.1", (), "", False),
        ("127.0.0.1", (), "[::", False),
        ("0.0.0.0", (), "192.168.1.2:8760", True),
        ("0.0.0.0", (), "evil.example", False),
        ("0.0.0.0", ("kitchen.local",), "Kitchen.local:8760", True),
    ],
)
def test_doors(host, names, asked, good):
    allowed_hosts = AllowedHosts(host, names)
    assert allowed_hosts.host_is_ours(asked) == good
    assert allowed_hosts.origin_is_ours(f"http://{asked}", asked) == good
    assert allowed_hosts.origin_is_ours(None, asked) == good
    assert not allowed_hosts.origin_is_ours("http://evil.example", asked)


def test_the_recording_moves_the_picture(url):
    async def test():
        async with connect(live(url)) as link:
            hello = json.loads(await link.recv())
            assert hello["model"] == "yes-4"
            await link.send(json.dumps({"follow": [0, 2]}))
            moments = []
            while len(moments) < 20:
                moments.append(json.loads(await link.recv()))
        assert moments[-1]["time_s"] > moments[5]["time_s"]
        assert max(moment["rms"] for moment in moments) > 0
        last = moments[-1]
        cells = [len(block) for block in hello["beta1"]]
        assert [len(bits) for bits in last["bits"]] == cells
        assert [len(block) for block in last["candidates"]] == cells
        assert len(last["scores"]) == len(hello["classes"])
        assert sum(len(moment["followed"]) for moment in moments) > 10
        rows = [row for moment in moments for row in moment["heat"]]
        assert {len(row) for row in rows} == {hello["channels"]}
        assert last["average"]["core"] > 0

    asyncio.run(asyncio.wait_for(test(), 30))


def test_a_browser_s_audio_gives_the_events_of_the_spotter(tmp_path):
    pack = build_pack(
        tmp_path / "tiny",
        graphs=False,
        detector={"threshold": 0.0, "rearm": 1.0, "refractory_s": 0.2},
    )
    pcm = np.round(noise(2.0)[:, 0] * 32768).astype(np.int16)
    heard = []

    async def test():
        session = PageSession(KeywordSpotter(pack))
        session.on_event = heard.append
        for at in range(0, len(pcm), 777):
            await session.hear_browser(pcm[at : at + 777].tobytes(), 16_000)
        return session

    session = asyncio.run(test())
    assert heard == KeywordSpotter(pack).process(pcm)
    assert len(session.moment()["events"]) == len(heard) > 3
    session.obey('{"threshold": 0.5, "keyword": "yes"}')
    assert session.spotter.thresholds == {"yes": 0.5, "no": 0.0}
    digits = "9" * 4000
    for bad in (
        *("", "[]", "{", '{"threshold": 7}', '{"follow": 3}', "[" * 50_000),
        *(f'{{"threshold": {digits}}}', '{"threshold": Infinity}', '{"threshold": NaN}'),
        *(f'{{"follow": [{digits}{digits}, 0]}}', '{"follow": [1e999, 0]}'),
        '{"threshold": 0.5, "keyword": "\\ud800"}',
    ):
        with pytest.raises(InputError):
            session.obey(bad)
    session.obey('{"follow": [99, 99]}')
    with pytest.raises(InputError, match="in real time"):
        asyncio.run(session.hear_browser(b"\0\0" * 16_000 * 10, 16_000))


@pytest.mark.parametrize(
    "message", [pytest.param("[" * 50_000, id="deep"), "[[[", '{"rate": "x"}', b"odd"]
)
def test_a_page_that_sends_nonsense_is_told(url, message):
    async def test():
        async with connect(live(url, "browser")) as link:
            await link.send(message)
            if message == '{"rate": "x"}':
                await link.send(b"00")
            with contextlib.suppress(ConnectionClosed):
                while (answer := json.loads(await link.recv()))["type"] != "error":
                    pass
            assert answer["type"] == "error"
            assert "need" in answer["text"]

    asyncio.run(asyncio.wait_for(test(), 60))


@pytest.mark.parametrize("source", ["demo", "browser", "server"])
@pytest.mark.parametrize("fault", [OSError, RuntimeError, WebSocketDisconnect])
def test_a_page_that_goes_away_leaves_no_traceback(fault, source, tmp_path):
    """Whatever the server below raises for a send to a page that is gone."""
    pack = build_pack(tmp_path / "tiny", graphs=False)

    async def test(last):
        sent = []

        async def receive():
            if not sent:
                return {"type": "websocket.connect"}
            while len(sent) <= last:
                await asyncio.sleep(0)
            return {"type": "websocket.disconnect", "code": 1001}

        async def send(message):
            sent.append(message)
            if len(sent) > last:
                raise fault

        pages = Pages(
            lambda source: PageSession(KeywordSpotter(pack)),
            AllowedHosts("127.0.0.1"),
            SharedMicrophone("no such device"),
            np.zeros(16_000, np.float32),
        )
        headers = [(b"host", b"127.0.0.1")]
        scope = {"type": "websocket", "path": "/live", "headers": headers}
        await pages.app(scope | {"query_string": f"source={source}".encode()}, receive, send)
        assert pages._pages == 0
        return len(sent)

    for last in (0, 1, 2, 5):
        assert asyncio.run(asyncio.wait_for(test(last), 60)) >= last


def test_pages_that_close_while_they_stream_leave_the_server_s_messages_empty():
    command = [sys.executable, "-m", "kws_stream", "listen", "--web", "--port", "0", "-m", "yes-4"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    async def visit(address, abrupt):
        async with connect(live(address)) as link:
            for _ in range(3):
                await link.recv()
            if abrupt:
                link.transport.abort()

    try:
        address = process.stderr.readline().split()[-1]
        for abrupt in (True, False, True):
            asyncio.run(asyncio.wait_for(visit(address, abrupt), 20))
        assert get(address)[0] == 200
    finally:
        process.terminate()
        _, told = process.communicate()
    assert told == ""


def test_audio_that_claims_a_low_rate_is_refused_before_it_grows(tmp_path):
    session = PageSession(KeywordSpotter(build_pack(tmp_path / "tiny", graphs=False)))
    heard = []
    session._hearing.hear = lambda pcm: heard.append(len(pcm)) or []
    with pytest.raises(InputError, match="in real time"):
        asyncio.run(session.hear_browser(bytes(MOST_BYTES), 1000))
    assert sum(heard) < 16_000 * 8


def test_pages_beyond_the_bound_are_refused(url):
    async def test():
        async with contextlib.AsyncExitStack() as stack:
            kinds = []
            for _ in range(9):
                link = await stack.enter_async_context(connect(live(url, "browser")))
                kinds.append(json.loads(await link.recv())["type"])
            assert kinds == ["hello"] * 8 + ["error"]

    asyncio.run(asyncio.wait_for(test(), 20))


def test_wrong_options_and_files_are_sentences(tmp_path):
    def run(*words):
        return CliRunner().invoke(main, ["listen", *map(str, words)])

    assert run("--port", 1).exit_code == 2
    assert run("--web", "--tls-key", "x").exit_code == 2
    assert run("--web", "--duration", 3).exit_code == 2
    result = run("--web", "--port", 0, "--tls-cert", tmp_path / "none.pem")
    assert result.exit_code == 1
    assert "need a certificate" in result.stderr
    with (
        server.bind("127.0.0.1", 0) as taken,
        pytest.raises(ServerError, match="choose another port"),
    ):
        server.bind("127.0.0.1", taken.getsockname()[1])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_https_with_a_certificate(tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    with page("-m", "yes-4", "--tls-cert", certificate, "--tls-key", key) as address:
        assert address.startswith("https://")
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(address, context=trusting, timeout=60) as answer:
            assert answer.status == 200


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of another kind")
def test_pages_listen_on_where_nobody_reads_the_printed_events(tmp_path):
    """Their events go to a pipe that is closed."""
    model = build_pack(
        tmp_path / "tiny",
        graphs=False,
        detector={"threshold": 0.0, "rearm": 1.0, "refractory_s": 0.1},
    )

    async def test(url):
        async with connect(live(url), max_size=None) as socket:
            seen, times = 0, []
            while seen < 3 and len(times) < 200:
                message = json.loads(await asyncio.wait_for(socket.recv(), 60))
                if message["type"] == "moment":
                    seen = len(message["events"])
                    times.append(message["time_s"])
            assert seen >= 3

    with page("-m", model, closed_output=True) as url:
        asyncio.run(test(url))


def test_pages_share_the_server_s_microphone_and_hear_what_was_lost(monkeypatch):
    pcm = noise(0.2)[:, 0].astype(np.float32)
    backend = FakeSounddevice([*np.split(pcm[:1600], 5), OVERFLOW, pcm[1600:], UNPLUG])
    monkeypatch.setitem(sys.modules, "sounddevice", backend)

    async def test():
        microphone = SharedMicrophone()
        assert microphone.available() == ""
        queues = [microphone.subscribe(), microphone.subscribe()]
        for queue in queues:
            blocks = []
            while (block := await queue.get()) is not None:
                blocks.append(block)
            assert np.array_equal(np.concatenate(blocks), pcm)
        assert len(backend.streams) == 1
        assert "went away" in microphone.fault
        assert microphone.lost == 1
        for queue in queues:
            microphone.leave(queue)

    asyncio.run(test())


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
WIDTHS = "[...document.querySelectorAll('.bar i')].map(i => i.style.width).join()"
INK = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(x => x > 0)"


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_in_a_browser_bars_move_and_a_spoken_word_is_an_event(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    pcm, rate = soundfile.read(RECORDING, dtype="int16", frames=16_000 * 6)
    sound = tmp_path / "sound.wav"
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, rate, len(pcm), "NONE", ""))
        file.writeframes(pcm.tobytes())
    flags = [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={sound}",
    ]
    with page() as address, playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=flags, chromium_sandbox=False)
        try:
            view = browser.new_page()
            faults = []
            view.on("pageerror", lambda error: faults.append(str(error)))
            view.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
            view.goto(address)
            view.wait_for_selector(".score")
            view.wait_for_timeout(300)
            assert view.inner_text("#model") == "commands-12"
            for name in ("level", "heat", "cells", "followed"):  # axes and marks, before any sound
                assert view.eval_on_selector(f"#{name}", INK), name
            assert "None yet" in view.inner_text("#none")
            view.fill("#follow-block", "2")
            view.fill("#follow-cell", "999")
            view.press("#follow-cell", "Enter")
            cells = len(KeywordSpotter("commands-12").pack.network.parameters.blocks[1].beta1)
            assert view.input_value("#follow-cell") == str(cells)
            view.click("#browser")
            view.wait_for_selector("#events li", timeout=30_000)
            assert int(view.inner_text("#count")) >= 1
            widths = set()
            for _ in range(10):
                widths.add(view.evaluate(WIDTHS))
                view.wait_for_timeout(100)
            assert len(widths) > 3
            for name in ("level", "heat", "cells", "followed"):
                assert view.eval_on_selector(f"#{name}", INK), name
            columns = view.eval_on_selector_all("#events li:first-child span", "all => all.length")
            assert columns == 4
            assert "dBFS" in view.inner_text("#levels")
            assert "Hz" in view.inner_text("#status")
            assert faults == []
        finally:
            browser.close()
