"""Lock files: all that is needed, as pyproject.toml allows it, each file with its SHA-256."""

import re
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("packaging", reason="pytest brings it")
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PACKAGING = ROOT / "packaging"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
LOCKS = {
    "serve.lock": ("wyoming", "metrics"),
    "ci.lock": ("dev", "search"),
    "build.lock": None,
}
ELSEWHERE = {"torch"}  # has another file for each kind of machine


def locked(name: str) -> list[tuple[Requirement, int]]:
    """Each line of a lock, and how many hashes it has."""
    text = (PACKAGING / name).read_text("ascii").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip()]
    return [(Requirement(HASH.sub("", line).strip()), len(HASH.findall(line))) for line in lines]


def wanted(extras: tuple[str, ...]) -> list[Requirement]:
    """What the project needs with these extras, those that extras name of it included."""
    optional = PROJECT["project"]["optional-dependencies"]
    found = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
    waiting = list(extras)
    done: set[str] = set()
    while waiting:
        extra = waiting.pop()
        if extra in done:
            continue
        done.add(extra)
        for requirement in map(Requirement, optional[extra]):
            if requirement.name == "kws-stream":
                waiting += requirement.extras
            else:
                found.append(requirement)
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_file_has_a_hash_and_no_place_of_its_own(name: str) -> None:
    lines = locked(name)
    assert lines
    for requirement, hashes in lines:
        assert hashes, requirement
        assert str(requirement.specifier).startswith("=="), requirement
        assert requirement.url is None
    assert "://" not in (PACKAGING / name).read_text("ascii")


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_all_that_is_needed_in_versions_that_are_allowed(name: str) -> None:
    extras = LOCKS[name]
    versions: dict[str, list[str]] = {}
    for requirement, _ in locked(name):
        version = str(requirement.specifier).removeprefix("==")
        versions.setdefault(canonicalize_name(requirement.name), []).append(version)
    needs = wanted(extras) if extras else map(Requirement, PROJECT["build-system"]["requires"])
    for need in needs:
        if need.name in ELSEWHERE:
            continue
        found = versions.get(canonicalize_name(need.name))
        assert found, f"{need} is not locked: run make lock"
        assert all(need.specifier.contains(version) for version in found), (need, found)


def test_what_builds_the_engine_is_what_the_project_says() -> None:
    lines = (PACKAGING / "build.in").read_text("ascii").splitlines()
    listed = {str(Requirement(line)) for line in lines if not line.startswith("#")}
    assert {str(Requirement(text)) for text in PROJECT["build-system"]["requires"]} <= listed
