"""The proofs by CBMC hold, and fail where the C is changed so that it breaks its promise."""

from pathlib import Path

import pytest

from fuzz import prove

pytestmark = pytest.mark.skipif(bool(prove.missing()), reason=prove.missing())


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    return prove.sources(tmp_path)


@pytest.mark.parametrize("name", prove.SOURCES)
def test_every_index_and_sum_of_the_firmware_is_within_its_bounds(
    name: str, sources: dict[str, Path]
) -> None:
    result = prove.prove(name, sources[name])
    assert result.failed == []
    assert result.checks > 100


@pytest.mark.parametrize(
    ("name", "file", "before", "after", "found"),
    [
        ("network", "kws_model.h", "KWS_WIDEST 12", "KWS_WIDEST 9", "outside object bounds"),
        ("network", "kws_model.h", "int32_t kws_sum", "int16_t kws_sum", "type conversion"),
        (
            "network",
            "kws_network.c",
            "states[i] = bits[i] ?",
            "bits[i]++; states[i] = bits[i] ?",
            "a bit",
        ),
        ("ring", "kws_ring.c", "room = KWS_RING_SAMPLES", "room = 1 + KWS_RING_SAMPLES", "room"),
        ("ring", "kws_ring.c", "at++ % KWS_RING_SAMPLES] = ", "at++] = ", "upper bound"),
        ("ring", "kws_ring.c", "if (n > available)", "if (n > available + 1)", "as many"),
    ],
)
def test_a_bound_that_is_wrong_is_found(
    name: str, file: str, before: str, after: str, found: str, sources: dict[str, Path]
) -> None:
    place = sources[name] / file
    text = place.read_text("ascii")
    assert before in text
    place.write_text(text.replace(before, after), "ascii")
    assert any(found in failure for failure in prove.prove(name, sources[name]).failed)
