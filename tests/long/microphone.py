"""A microphone command: writes a raw recording to standard output in real time, then silence."""

import sys
import time
from pathlib import Path

CHUNK_S = 0.064
SIZE = 2048


def main(path: str) -> None:
    data = Path(path).read_bytes()
    began, number = time.monotonic(), 0
    while True:
        chunk = data[number * SIZE : (number + 1) * SIZE]
        sys.stdout.buffer.write(chunk + bytes(SIZE - len(chunk)))
        sys.stdout.buffer.flush()
        number += 1
        time.sleep(max(0.0, began + number * CHUNK_S - time.monotonic()))


if __name__ == "__main__":
    main(sys.argv[1])
