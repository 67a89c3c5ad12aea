"""Names of keywords and models as people and other programs write them."""

import unicodedata


def plain(name: str) -> str:
    """What names have in common that mean the same: "Hey-Computer", "hey_computer", "hey computer".

    Case, and whether spaces, hyphens or underscores stand between the words, make no difference.
    """
    text = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(text.replace("-", " ").replace("_", " ").split())


def as_spoken(keyword: str) -> str:
    """A keyword's words as people say them: "hey_computer" is "hey computer"."""
    return " ".join(keyword.replace("_", " ").split())
