"""How often each kind of clip is heard in training."""

OF_PICTURES = 0.5
# How often each kind of clip is drawn where a recipe does not say; keywords have 1.0 each,
# rare ones `rare_keyword` times that, and the two `_synthetic` lines tell what part of it is made.
# speech_commands: the words that are no keywords; with pictures each as often as any other.
# of_pictures: the least part of a word's clips that comes from pictures; where there are more
# pictures than recordings, their part of the clips.
SHARES = {
    "v2-12": {
        "keyword_synthetic": 0.07,
        "rare_keyword_synthetic": 0.65,  # words with fewer than RARE real clips
        "of_pictures": OF_PICTURES,
        "speech_commands": 0.8,
        "other_words": 0.5,
        "synthetic": 0.4,
        "running_speech": 0.3,
        "noise": 1.0,
    },
    "yes": {
        "keyword": 2.5,
        "keyword_synthetic": 0.12,
        "rare_keyword_synthetic": 0.65,
        "of_pictures": OF_PICTURES,
        "task_words": 2.0,  # no, up, down, left, right
        "speech_commands": 0.3,
        "other_words": 0.2,
        "synthetic": 0.2,
        "running_speech": 0.15,
        "noise": 0.4,
    },
    "v2-35": {
        "keyword_synthetic": 0.07,
        "rare_keyword_synthetic": 0.65,
        "of_pictures": OF_PICTURES,
        "noise": 1.0,
    },
    "events": {
        "keyword_synthetic": 0.0,
        "rare_keyword_synthetic": 0.0,
        "of_pictures": 0.0,
        "speech_commands": 1.0,  # clips of other beats
        "running_speech": 0.5,  # recordings without an event
        "noise": 0.1,
    },
    "wake-phrase": {
        "phrase": 1.6,
        "recordings": 1.0,  # a person's own, of the phrase
        "near": 0.2,
        "words": 0.4,
        "running": 1.0,
        "noise": 0.3,
        "speech_commands": 0.4,  # the rest are real recordings, where there are any
        "other_words": 0.3,
        "running_speech": 1.0,
    },
}

RARE_KEYWORD = "rare_keyword"  # how many times as often a keyword with few clips is drawn: 1


def known_shares(task: str) -> tuple[str, ...]:
    """Names of the shares that a recipe of that task may set."""
    more = () if task == "wake-phrase" else (RARE_KEYWORD, "keyword")
    return tuple({**SHARES[task], **dict.fromkeys(more, 1.0)})
