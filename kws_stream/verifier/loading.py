"""The verifier of a pack, whatever its kind."""

from kws_stream.errors import PackError
from kws_stream.packs import Pack
from kws_stream.verifier import host, mcu

Verifier = host.HostVerifier | mcu.McuVerifier


def load_verifier(pack: Pack) -> Verifier | None:
    """The verifier of a pack; None for a pack without one.

    Raises PackError for a verifier that this version does not know or that is broken,
    MissingExtraError where what it needs is not installed.
    """
    data = pack.verifier
    if data is None:
        return None
    if data.kind == host.KIND:
        return host.load_host(pack)
    if data.kind == mcu.KIND:
        return mcu.load_mcu(pack)
    raise PackError(
        f"{pack.name}: need a verifier of the kind {host.KIND} or {mcu.KIND}, got "
        f"{data.kind!r:.80}; get a matching kws-stream, {host.ALONE}"
    )
