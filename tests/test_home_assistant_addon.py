"""The add-on's page and its entry point agree, and its command is one that `serve` understands."""

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any

import click
import pytest

import kws_stream

ADDON = Path(__file__).parents[1] / "packaging" / "home-assistant"
CONFIG = json.loads((ADDON / "config.json").read_text("utf-8"))

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the add-on runs on Linux")


def command(options: dict[str, Any]) -> list[str]:
    spec = importlib.util.spec_from_file_location("addon", ADDON / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    words: list[str] = module.command(options)
    return words


def understood(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from kws_stream.cli import main

    monkeypatch.setattr(click.Command, "invoke", lambda self, context: None)  # parse, do not run
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code


def test_the_options_as_they_come_start_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    words = command(CONFIG["options"])
    assert words[1:4] == ["-m", "kws_stream", "serve"]
    understood(words[3:], monkeypatch)


def test_every_option_of_the_page_reaches_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {
        "models": ["yes-4", "commands-12"],
        "wake": ["yes"],
        "thresholds": ["stop=0.9"],
        "keep_triggers": True,
    }
    assert chosen.keys() == CONFIG["options"].keys() == CONFIG["schema"].keys()
    words = command(chosen)
    at = words.index("--health") + 2
    assert words[at:] == [
        *("--model", "yes-4", "--model", "commands-12", "--wake", "yes"),
        *("--threshold", "stop=0.9", "--keep-triggers", "/share/kws-stream"),
    ]
    understood(words[3:], monkeypatch)


def test_version_and_ports_are_those_of_the_package_and_the_containerfile() -> None:
    assert CONFIG["version"] == kws_stream.__version__
    container = (ADDON.parent / "Containerfile").read_text("utf-8")
    ports = set(re.findall(r"EXPOSE (\d+) (\d+)", container)[0])
    assert {"10400", "10401"} == ports
    assert "10400/tcp" in CONFIG["ports"]
    assert ":10401/healthz" in CONFIG["watchdog"]
