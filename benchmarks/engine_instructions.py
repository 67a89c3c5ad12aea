"""How many instructions the engine in C takes for 10 ms of sound, by model and length of block.

python benchmarks/engine_instructions.py
python benchmarks/engine_instructions.py --model yes-4 --form narrow

callgrind counts them, in four seconds of the packaged recording, so other work on the machine
changes no figure. Needs gcc or clang and valgrind. valgrind knows no AVX-512, so it counts the
wide vector forms with AVX2. --form: narrow is the filterbank in 128-bit vectors, of processors
without AVX2, and plain the one without any.
"""

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from firmware_sim.integers import integer_network
from firmware_sim.toolchain import find_compiler
from kws_stream import packs
from kws_stream.audio import to_int16
from kws_stream.constants import RECORDING
from kws_stream.detector import Detector, DetectorSettings
from kws_stream.engine.blob import DetectorFrames, model_blob
from kws_stream.features import FeatureSettings, fixed_front_end
from kws_stream.packs import Pack
from kws_stream.pipeline import blocks_of

ROOT = Path(__file__).resolve().parent.parent
ENGINE, SHARED = ROOT / "kws_stream" / "engine" / "c", ROOT / "firmware_sim" / "c"
PARTS = [SHARED / f"kws_{stage}.c" for stage in ("front_end", "network", "detector")]
PARTS += [ENGINE / "kws_engine.c", ENGINE / "kws_simd.c"]
FORMS = {"wide": (), "narrow": ("-D__builtin_cpu_supports(name)=0",), "plain": ("-DKWS_PLAIN",)}
LENGTHS = (160, 320, 1280, 32_000)  # samples
BEFORE, COUNTED = 100_000, 64_000  # samples
MAIN = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kws_engine.h"

static void *contents(const char *name, size_t *size)
{
    FILE *file = fopen(name, "rb");
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *data = aligned_alloc(64, (*size + 63) / 64 * 64);
    if (data == NULL || fread(data, 1, *size, file) != *size)
        abort();
    fclose(file);
    return data;
}

__attribute__((noinline)) void counted(void *engine, const int16_t *pcm, size_t n, size_t block)
{
    kws_engine_event events[16];
    size_t used;
    for (size_t at = 0; at < n; at += block)
        kws_engine_hear(engine, pcm + at, n - at < block ? n - at : block, events, 16, &used);
}

int main(int argc, char **argv)
{
    size_t size, bytes, before = (size_t)atol(argv[3]);
    void *blob = contents(argv[1], &size);
    int16_t *pcm = contents(argv[2], &bytes);
    void *engine = aligned_alloc(64, kws_engine_bytes(blob, size));
    kws_engine_event events[64];
    (void)argc;
    memset(engine, 0, kws_engine_bytes(blob, size));
    kws_engine_init(engine, blob);
    kws_engine_hear(engine, pcm, before, events, 64, &size);
    counted(engine, pcm + before, bytes / 2 - before, (size_t)atol(argv[4]));
    return 0;
}
"""


def blob_of(pack: Pack) -> bytes:
    settings = FeatureSettings.from_dict(pack.features)
    detecting = DetectorSettings.from_dict(pack.detector)
    detector = Detector(detecting, pack.classes, pack.keywords, settings.frame_s)
    frames = DetectorFrames(len(pack.classes), *detector.frames_of_settings)
    return model_blob(*fixed_front_end(settings), integer_network(pack.network.parameters), frames)


def instructions(folder: Path, block: int) -> int:
    """Of the program in the folder, in all of the counted samples."""
    words = ["valgrind", "--tool=callgrind", "--toggle-collect=counted"]
    words += [f"--callgrind-out-file={folder / 'out'}", folder / "main", folder / "blob"]
    words += [folder / "sound", BEFORE, block]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if found is None:
        raise SystemExit(f"callgrind: need a count, got {done.stderr[-500:]}")
    return int(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", action="append", help="repeatable; default: all shipped")
    parser.add_argument("--form", choices=list(FORMS), default="wide", help="of the filterbank")
    given = parser.parse_args()
    pcm = np.concatenate([to_int16(block) for block in blocks_of(RECORDING)])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "main.c").write_text(MAIN, "ascii")
        pcm[: BEFORE + COUNTED].tofile(folder / "sound")
        flags = ["-O3", "-g", "-fno-math-errno", "-ffp-contract=off", "-DKWS_RUNTIME"]
        flags += FORMS[given.form]
        command = [find_compiler(), *flags, f"-I{SHARED}", f"-I{ENGINE}", folder / "main.c", *PARTS]
        subprocess.run([*command, "-lm", "-o", folder / "main"], check=True)
        print("instructions for 10 ms of sound, in blocks of")
        print("model            " + "".join(f"{length / 16:>10.0f} ms" for length in LENGTHS))
        for model in given.model or packs.list_packs():
            (folder / "blob").write_bytes(blob_of(packs.load(model)))
            counts = [instructions(folder, length) * 160 / COUNTED for length in LENGTHS]
            print(f"{model:<17}" + "".join(f"{count:>13.0f}" for count in counts))


if __name__ == "__main__":
    main()
