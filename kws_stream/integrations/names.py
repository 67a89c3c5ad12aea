"""Names of keywords as people say them."""


def as_spoken(keyword: str) -> str:
    """A keyword's words as people say them: "hey_computer" is "hey computer"."""
    return " ".join(keyword.replace("_", " ").split())
