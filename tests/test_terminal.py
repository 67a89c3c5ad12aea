"""`listen` in a real terminal: the picture, the keys, and the terminal as it was afterwards."""

import os
import select
import subprocess
import sys
import textwrap
import time

import pytest

pty = pytest.importorskip("pty", reason="needs a system with pseudo-terminals")
termios = pytest.importorskip("termios")

PROGRAM = textwrap.dedent(
    """
    import sys, time
    import numpy as np
    from tests.test_audio_microphone import FakeSounddevice, FakeStream

    class Endless(FakeStream):
        def start(self):
            import threading
            def play():
                rng = np.random.default_rng(0)
                from types import SimpleNamespace
                while not self.closed:
                    block = (0.1 * rng.standard_normal((320, 1))).astype(np.float32)
                    self.callback(block, 320, None, SimpleNamespace(input_overflow=False))
                    time.sleep(0.005)
            threading.Thread(target=play, daemon=True).start()

    class Sounddevice(FakeSounddevice):
        def InputStream(self, **settings):
            return Endless(self, **settings)

    sys.modules["sounddevice"] = Sounddevice()
    from kws_stream.cli import main
    main(["listen", "-m", "yes-4"])
    """
)


class Terminal:
    def __init__(self, folder):
        self.master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 80)) if hasattr(termios, "tcsetwinsize") else None
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        env = os.environ | {"TERM": "xterm-256color", "PYTHONPATH": root}
        env |= {"COLUMNS": "80", "LINES": "24"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env=env,
            start_new_session=True,
        )
        self.text = ""

    def read_until(self, words, seconds=20.0):
        until = time.monotonic() + seconds
        while words not in self.text:
            assert time.monotonic() < until, f"no {words!r} in {self.text[-2000:]!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                self.text += os.read(self.master, 65536).decode("utf-8", "replace")
        self.text = self.text.partition(words)[2]

    def press(self, keys):
        os.write(self.master, keys.encode())

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.slave)
        os.close(self.master)


def test_keys_move_the_threshold_pause_save_and_quit(tmp_path):
    terminal = Terminal(tmp_path)
    try:
        terminal.read_until("core now")
        terminal.press("-")
        terminal.read_until("thresholds -0.05")
        terminal.press("+")
        terminal.read_until("thresholds +0.05")
        terminal.press("s")
        terminal.read_until("saved the last")
        terminal.press(" ")
        terminal.read_until("paused")
        terminal.press("q")
        terminal.read_until("heard ")
        assert terminal.process.wait(60) == 0
        assert termios.tcgetattr(terminal.slave)[3] == terminal.before[3]
    finally:
        terminal.close()
    (saved,) = tmp_path.glob("kws-stream-*.wav")
    assert saved.stat().st_size > 1000
