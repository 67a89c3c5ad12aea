"""What the tests of the studies listen to: yes-4, and 40 packaged clips of its task."""

import pytest

from kws_stream import packs
from kws_stream.packs import Pack
from kws_stream.studies.clips import Utterances, load_utterances


@pytest.fixture(scope="module")
def pack() -> Pack:
    return packs.load("yes-4")


@pytest.fixture(scope="module")
def utterances(pack: Pack) -> Utterances:
    return load_utterances(pack, clips=40)
