"""The engine in WebAssembly, run by Node.js: scores, triggers and events of streams of samples."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kws_stream.detector import WakeEvent
from kws_stream.errors import FirmwareError
from kws_stream.export.web import export_web
from kws_stream.files import write
from kws_stream.packs import Pack

LIMIT_S = 600

# Hears streams of one length, each from the start; a line of JSON for each. The triggers are those
# of the network alone, the events those that a verifier confirms, up to the end of the stream.
HEAR = """
import { readFileSync as read } from "node:fs";
const [folder, sound, length] = process.argv.slice(2);
const { KeywordSpotter } = await import(`${folder}/index.js`);
const bytes = (path) => new Uint8Array(read(path)).buffer;
const files = ["model.kws", "kws.wasm"].map((name) => bytes(`${folder}/${name}`));
const spotter = new KeywordSpotter(...files, { verify: false });
const second = spotter.model.verifier ? new KeywordSpotter(...files) : null;
const pcm = new Int16Array(bytes(sound));
for (let at = 0; at < pcm.length; at += Number(length)) {
  const stream = pcm.subarray(at, at + Number(length));
  spotter.reset();
  const seen = spotter.observe(stream);
  const scores = seen.map((frame) => Array.from(frame.scores));
  let events = null;
  if (second) {
    second.reset();
    events = [...second.process(stream), ...second.finish()];
  }
  console.log(JSON.stringify({ scores, triggers: seen.flatMap((frame) => frame.events), events }));
}
"""


class HeardInWasm(NamedTuple):
    """Of one stream; events: None where the package has no verifier."""

    scores: NDArray[np.float64]
    triggers: list[WakeEvent]
    events: list[WakeEvent] | None


class Wasm:
    """A pack exported for the web to a new folder."""

    def __init__(self, pack: Pack, folder: Path) -> None:
        self._folder, self._classes = folder, len(pack.classes)
        export_web(pack, folder)
        write(folder / "hear.mjs", HEAR)

    def hear(self, streams: NDArray[np.int16]) -> list[HeardInWasm]:
        """Smoothed scores (T, K), triggers and events of each of the streams (n, samples).

        Raises FirmwareError where Node.js fails.
        """
        write(self._folder / "sound", streams.astype("<i2").tobytes())
        words: Sequence[str | Path] = ("node", "hear.mjs", self._folder, "sound")
        try:
            done = subprocess.run(
                [*words, str(streams.shape[1])],
                cwd=self._folder,
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FirmwareError(f"node: need it to run, got {error}; install Node.js") from error
        if done.returncode:
            raise FirmwareError(
                f"node ended with status {done.returncode}: {done.stderr.strip()[-500:]}"
            )
        heard = []
        for line in done.stdout.splitlines():
            told = json.loads(line)
            scores = np.array(told["scores"], np.float64).reshape(-1, self._classes)
            triggers, events = (
                None if told[kind] is None else [WakeEvent(**event) for event in told[kind]]
                for kind in ("triggers", "events")
            )
            heard.append(HeardInWasm(scores, triggers or [], events))
        return heard
