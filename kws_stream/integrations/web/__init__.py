"""The live picture as a web page (extra: web)."""

from kws_stream.errors import MissingExtraError

try:
    import starlette  # noqa: F401
    import uvicorn  # noqa: F401
    import websockets  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        "need the packages starlette, uvicorn and websockets for this, got none; "
        "install them with: pip install 'kws-stream[web]'"
    ) from error
