"""Names as people write them: near misses mean the known name, in thresholds as everywhere."""

import pytest
from click.testing import CliRunner

import kws_stream
from kws_stream.cli import main
from kws_stream.errors import ParameterError
from kws_stream.evaluation import Word, score_stream
from kws_stream.names import by_known_name, folded, known_name


@pytest.mark.parametrize(
    "name",
    ["Yes", "YES", " yes", "yes ", "\tyes\n", "\ufeffyes", "\uff39\uff25\uff33", "ye\u200bs"],
)
def test_case_space_and_form_do_not_matter(name: str) -> None:
    assert known_name(name, ["no", "yes"]) == "yes"


@pytest.mark.parametrize(
    "name", ["hey computer", "Hey-Computer", "HEY  COMPUTER", "hey\u2010computer", "heycomputer"]
)
def test_what_joins_the_parts_does_not_matter(name: str) -> None:
    assert known_name(name, ["hey_computer", "other"]) == "hey_computer"


def test_decomposed_letters_are_the_same() -> None:
    assert known_name("cafe\u0301", ["caf\xe9"]) == "caf\xe9"


@pytest.mark.parametrize("name", ["yess", "ye", "", " ", "_", "no yes", "unknown"])
def test_other_names_stay_what_they_are(name: str) -> None:
    assert known_name(name, ["yes", "no", "_unknown_"]) == name


def test_an_exact_name_wins_and_two_meanings_are_refused() -> None:
    assert known_name("Yes", ["yes", "Yes"]) == "Yes"
    with pytest.raises(ParameterError, match="yes, Yes"):
        known_name("YES", ["yes", "Yes"])
    assert folded("_unknown_") != folded("unknown")


def test_one_thing_named_twice_is_refused() -> None:
    assert by_known_name({"Yes": 0.3}, ["yes"]) == {"yes": 0.3}
    with pytest.raises(ParameterError, match="once"):
        by_known_name({"yes": 0.3, "Yes": 0.4}, ["yes"])


def test_thresholds_go_to_the_keyword_that_is_meant() -> None:
    for name in ("yes", "Yes", " YES "):
        assert kws_stream.KeywordSpotter("yes-4", {name: 0.25}).thresholds == {"yes": 0.25}
    spotter = kws_stream.KeywordSpotter("yes-4")
    spotter.set_thresholds({"YES": 0.125})
    assert spotter.thresholds == {"yes": 0.125}
    with pytest.raises(ParameterError, match="no keyword yess"):
        kws_stream.KeywordSpotter("yes-4", {"yess": 0.25})


def test_the_option_takes_another_case_and_refuses_other_names() -> None:
    audio = b"\0\0" * 3200
    for name in ("yes", "Yes", " YES "):
        words = ["detect", "-m", "yes-4", "--threshold", f"{name}=0.5", "-"]
        assert CliRunner().invoke(main, words, input=audio).exit_code == 0
    words = ["detect", "-m", "yes-4", "--threshold", "yess=0.5", "-"]
    refused = CliRunner().invoke(main, words, input=audio)
    assert refused.exit_code == 2
    assert "no keyword 'yess'" in refused.stderr


def test_a_label_in_another_case_is_a_hit_and_no_false_accept() -> None:
    event = kws_stream.WakeEvent("yes", 1.2, 0.9, 0.8, 0)
    result = score_stream([Word(" YES", 0.8, 1.3)], [event], ["yes", "no"])
    assert (result.words, result.hits, result.false_accepts) == (1, 1, ())
    assert result.found == ((Word("yes", 0.8, 1.3), event),)
