"""The command line as a process of its own: exit codes, signals, pipes, start-up."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from kws_stream import KeywordSpotter
from kws_stream.constants import RECORDING
from tests.pack_factory import build_pack
from tests.test_cli import noise

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "kws_stream"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
posix = pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")


@pytest.fixture(scope="module")
def pack(tmp_path_factory) -> Path:
    return build_pack(
        tmp_path_factory.mktemp("packs") / "tiny",
        graphs=False,
        detector={"threshold": 0.0, "rearm": 1.0, "refractory_s": 0.1},
    )


@pytest.fixture(scope="module")
def pcm() -> np.ndarray:
    return (noise(2.0)[:, 0] * 32767).astype("<i2")


def start(*words: object, **settings) -> subprocess.Popen:
    return subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=ENVIRONMENT,
        **settings,
    )


def test_help_loads_neither_numpy_nor_asyncio():
    program = (
        "import sys\nfrom kws_stream.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "assert not sys.modules.keys() & {'numpy', 'asyncio'}"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True)


def test_exit_codes_and_streams(tmp_path, pack):
    for words, code in [
        (("--version",), 0),
        (("detect", tmp_path / "none.wav", "-m", pack), 1),
        (("detect",), 2),
    ]:
        process = start(*words)
        out, err = process.communicate()
        assert process.returncode == code
        assert bool(out) == (code == 0)
        assert bool(err) == (code != 0)


@posix
@pytest.mark.parametrize(
    ("number", "ignored", "code"),
    [
        (signal.SIGINT, False, 130),
        (signal.SIGINT, True, 130),  # in the background of a shell
        (signal.SIGTERM, False, 143),
        *([(signal.SIGHUP, False, 129)] if os.name == "posix" else []),
    ],
)
def test_ctrl_c_sigterm_and_sighup_give_the_events_so_far_and_the_report(
    number, ignored, code, pack, pcm
):
    """A pipe that stays open: its events come at once, then the process waits for more."""
    handler = signal.SIG_IGN if ignored else signal.SIG_DFL  # whatever these tests began with
    process = start(
        *("detect", "-m", pack, "--json", "--power-report", "-"),
        preexec_fn=lambda: signal.signal(number, handler),
    )
    process.stdin.write(pcm.tobytes())
    process.stdin.flush()
    expected = [
        {"type": "event", "file": "-", **event.as_dict()}
        for event in KeywordSpotter(pack).process(pcm.astype(np.int16))
    ]
    assert len(expected) > 3
    live = [json.loads(process.stdout.readline()) for _ in expected]  # flushed as they come
    assert live == expected
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    (power,) = map(json.loads, out.splitlines())
    assert power["type"] == "power"
    assert b"Traceback" not in err


@posix
@pytest.mark.parametrize("words", [(), ("--power-report",), ("--json", "--power-report")])
def test_a_closed_pipe_is_silent_and_no_failure(words, pack, pcm, tmp_path):
    path = tmp_path / "noise.wav"
    soundfile.write(path, np.tile(pcm, 3), 16_000)
    process = start("detect", "-m", pack, *words, path)
    process.stdout.close()  # before the first event
    err = process.stderr.read()
    assert process.wait(60) == 0
    assert err == b""


@posix
@pytest.mark.parametrize("words", [("--help",), ("detect", "--help"), ("model", "list")])
def test_a_closed_pipe_is_no_failure_of_short_commands_either(words):
    process = start(*words)
    process.stdout.close()
    err = process.stderr.read()
    assert (process.wait(60), err) == (0, b"")


@posix
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_outputs_are_no_failure_and_no_file_takes_their_number(
    closed: str, pack: Path, tmp_path: Path
) -> None:
    """As of a service that was started without them; what is written to files is whole."""

    def end(*words: object) -> tuple[int, bytes, bytes]:
        shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, *map(str, words)]
        done = subprocess.run(shell, cwd=ROOT, env=ENVIRONMENT, capture_output=True, check=False)
        return done.returncode, done.stdout, done.stderr

    file = tmp_path / "chip.bit"
    code, out, err = end("program", pack, "-o", file)
    assert (code, err) == (0, b"")
    assert (b"wrote" in out) == (">&-" not in closed.replace("2>&-", ""))
    assert file.read_bytes().startswith(b"KWS1")
    assert end("--version")[0] == 0
    code, _, err = end("detect", "-m", pack, tmp_path / "missing.wav")
    assert (code, b"need an audio file" in err) == (1, "2>&-" not in closed)
    assert b"Traceback" not in err


@posix
def test_a_closed_standard_input_is_a_sentence(pack):
    shell = f'exec "{sys.executable}" -m kws_stream detect -m "{pack}" - <&-'
    result = subprocess.run(["sh", "-c", shell], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith("kws-stream: error: -: ")


@posix
def test_a_file_name_that_is_no_text_is_no_trouble(pack, pcm, tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system has names of text alone")
    soundfile.write(os.fsencode(path), pcm, 16_000, format="WAV")
    for words in ([], ["--json"]):
        process = start("detect", "-m", pack, *words, path, path)
        out, err = process.communicate()
        assert (process.returncode, err) == (0, b"")
        assert out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize(
    "words",
    [["detect", "DEMO"], ["detect", "DEMO", "--json"], ["evaluate-stream", "DEMO"], ["--help"]],
)
def test_an_output_on_a_full_disk_is_a_sentence(words: list[str]) -> None:
    demo = str(RECORDING)
    with open("/dev/full", "w") as out:
        result = subprocess.run(
            [*COMMAND, *(demo if word == "DEMO" else word for word in words)],
            stdout=out,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=ENVIRONMENT,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr.count(b"error: need a place to write the output to") == 1
    assert b"Traceback" not in result.stderr
    assert b"Exception" not in result.stderr


@posix
def test_sigterm_ends_the_page_with_its_commands_and_its_summary(pack, tmp_path):
    pytest.importorskip("uvicorn", reason="needs the extra web")
    words = ("listen", "-m", pack, "--web", "--port", "0", "--keep-triggers", tmp_path / "kept")
    process = start(*words)
    for line in process.stderr:
        if b"open http" in line:
            break
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert b"kept 0 triggers" in err
    assert b"Traceback" not in err
