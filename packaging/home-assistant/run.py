"""Entry point of the Home Assistant add-on: `kws-stream serve` with the options of its page."""

import json
import os
import pwd
import sys
from pathlib import Path
from typing import Any

OPTIONS = Path("/data/options.json")
KEPT = Path("/share/kws-stream")


def command(options: dict[str, Any]) -> list[str]:
    """The command line; a model that is no shipped one is a folder below /share."""
    words = [sys.executable, "-m", "kws_stream", "serve", "--uri", "tcp://0.0.0.0:10400"]
    words += ["--health", "10401"]
    for option, values in (
        ("--model", "models"),
        ("--wake", "wake"),
        ("--threshold", "thresholds"),
    ):
        for value in options.get(values, []):
            words += [option, value]
    if options.get("keep_triggers"):
        words += ["--keep-triggers", str(KEPT)]
    return words


def main() -> None:
    options = json.loads(OPTIONS.read_text("utf-8"))
    user = pwd.getpwnam("kws-stream")
    if options.get("keep_triggers"):
        KEPT.mkdir(exist_ok=True)
        os.chown(KEPT, user.pw_uid, user.pw_gid)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)  # only the options are for root alone
    words = command(options)
    os.execv(words[0], words)


if __name__ == "__main__":
    main()
