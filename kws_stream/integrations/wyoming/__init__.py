"""A Wyoming wake word service, for Home Assistant and its satellites (extra: wyoming)."""

from kws_stream.errors import MissingExtraError

try:
    import wyoming  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        "need the package wyoming for this, got none; "
        "install it with: pip install 'kws-stream[wyoming]'"
    ) from error
