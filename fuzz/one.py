"""One target in Python under atheris: `python -m fuzz.one TARGET`, then libFuzzer's options."""

import sys

import atheris

with atheris.instrument_imports(include=["kws_stream", "firmware_sim"]):
    from fuzz.python import TARGETS


def main() -> None:
    name, *options = sys.argv[1:]
    atheris.Setup([name, *options], TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
