"""Sessions of bundles whose engines may have been built without a GPU."""

from __future__ import annotations

from collections.abc import Callable

from ..engines.bundle.bundle import Bundle
from ..engines.registry import open_session
from ..engines.session import MultiInputSession
from ..engines.tensorrt.session import TrtSession


def open_checked_session(
    bundle: Bundle, engine: str, threads: int, precision: str, report: Callable[[str], None]
) -> MultiInputSession:
    """Open a session; engines that were built without a GPU are compared with ONNX Runtime once.

    Args:
        bundle, engine, threads, precision, report: see `open_session`.

    Raises:
        ParityError: the outputs of the engines differ.
        Others: see `open_session`.
    """
    session = open_session(bundle, engine, threads, precision, report=report)
    if isinstance(session, TrtSession):
        from ..converters.first_load import check_first_load

        try:
            check_first_load(bundle, session, report)
        except BaseException:
            session.close()
            raise
    return session
