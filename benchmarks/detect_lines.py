"""Whether `detect` and the exported C program print the same lines, for every clip of a folder.

python benchmarks/detect_lines.py DATA/speech_commands --model commands-12 --model yes-4

The C program is the example.c that `export-c` writes; it is given the 16-bit samples of the file
that `detect` reads. Prints how many lines there were, and ends with status 1 where they differ.
"""

import argparse
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from firmware_sim import toolchain
from kws_stream import cli, packs
from kws_stream.audio import to_int16
from kws_stream.evaluation.speech_commands import split_of
from kws_stream.export.firmware import load_model
from kws_stream.pipeline import blocks_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="Speech Commands, a folder a word")
    parser.add_argument("--model", action="append", help="repeatable; default: all packaged")
    parser.add_argument("--split", default="validation", choices=("validation", "testing"))
    given = parser.parse_args()
    differ = 0
    for name in given.model or packs.list_packs():
        words = sorted(given.data.glob("[!_]*/*"))
        clips = [path for path in words if split_of(path.name) == given.split]
        lines = 0
        with toolchain.program(load_model(name)[1]) as binary:
            for path in clips:
                ours = CliRunner().invoke(cli.main, ["detect", "-m", name, str(path)])
                pcm = np.concatenate([to_int16(block) for block in blocks_of(path)])
                theirs = toolchain.run_program(binary, pcm)
                lines += len(theirs.splitlines())
                if ours.exit_code or ours.stdout != theirs:
                    differ += 1
                    print(f"{path}: detect printed {ours.stdout!r}, the C program {theirs!r}")
        print(f"{name}: {len(clips)} clips, {lines} lines, {differ} clips differ")
    raise SystemExit(differ > 0)


if __name__ == "__main__":
    main()
