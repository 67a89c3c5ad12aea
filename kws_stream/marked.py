"""Text between two marks of a document, written anew."""


def between(document: str, begin: str, end: str, text: str) -> str | None:
    """The document with `text` on lines of its own between the marks; None without both of them."""
    before, begins, rest = document.partition(begin)
    _, ends, after = rest.partition(end)
    if not (begins and ends):
        return None
    return f"{before}{begin}\n{text}\n{end}{after}"
