"""Live video as JPEG pictures over HTTP (multipart), which browsers, players and home automation show."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore, Condition, Thread
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ....engines.errors import OutputError, UsageError
from ...media.images.embed import marked_jpeg
from ...media.images.opencv import jpeg
from ...media.reasons import error_reason
from ...media.url import masked
from ...serving.access import Access, access_for, is_local
from .safe_name import safe_name
from .sink import LiveSink

if TYPE_CHECKING:
    from ..camera import CameraStatus
    from ..results import LiveResult

CONTENT_TYPE = "multipart/x-mixed-replace; boundary=frame"
QUALITY = 80
"""Of the pictures, 1 to 100."""
MAX_VIEWERS = 16
WRITE_S = 5.0
"""Maximum wait for a viewer that takes no data, in seconds."""
CHECK_S = 1.0
"""Time without a picture after which a viewer is checked, again and again, in seconds."""


class NewestPictures:
    """The newest JPEG picture of each camera, for any number of viewers; a slow one misses pictures. Thread-safe."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._pictures: dict[str, tuple[int, bytes]] = {}
        self._viewers: dict[str, int] = {}
        self._closed = False

    def add_camera(self, name: str) -> None:
        """Make a camera known, before its first picture."""
        with self._changed:
            self._viewers.setdefault(name, 0)

    def cameras(self) -> tuple[str, ...]:
        """Names of the known cameras."""
        with self._changed:
            return tuple(self._viewers)

    def is_watched(self, name: str) -> bool:
        """Whether a camera has viewers: pictures for nobody need not be made."""
        return self._viewers.get(name, 0) > 0

    def put(self, name: str, jpeg: bytes) -> None:
        """Replace the picture of a camera."""
        with self._changed:
            self._pictures[name] = (self._pictures.get(name, (0, b""))[0] + 1, jpeg)
            self._changed.notify_all()

    def close(self) -> None:
        """No more pictures come: the iterators end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def parts(self, name: str, is_there: Callable[[], bool] = lambda: True) -> Iterator[bytes]:
        """Parts of `CONTENT_TYPE`, each with the newest picture of a camera; blocks until there is one.

        Args:
            name: of the camera.
            is_there: whether the viewer still waits; asked while no picture comes.
        """
        with self._changed:
            self._viewers[name] = self._viewers.get(name, 0) + 1
            last = self._pictures.get(name, (0, b""))[0]
        try:
            while (picture := self._next(name, last, is_there)) is not None:
                last, jpeg = picture
                yield b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(jpeg), jpeg)
        finally:
            with self._changed:
                self._viewers[name] -= 1

    def _next(self, name: str, last: int, is_there: Callable[[], bool]) -> tuple[int, bytes] | None:
        with self._changed:
            while not self._changed.wait_for(
                lambda: self._closed or self._pictures.get(name, (0, b""))[0] > last, CHECK_S
            ):
                if not is_there():
                    return None
            return None if self._closed else self._pictures[name]


class MjpegSink(LiveSink["LiveResult"]):
    """Serves the composites of all cameras: /NAME of each, and a list of the names at /. Nothing is encoded for nobody.

    Args:
        url: "mjpeg://[:TOKEN@]host:port", port 0 for a free one. Viewers send the token as the password of Basic
            authentication, or as Bearer. An address that other machines can reach needs one.

    Attributes:
        port: on which it listens.

    Raises:
        UsageError: another form, no token where one is needed, or one that is too short.
        OutputError: the address cannot be used.
    """

    queue_size = 8

    def __init__(self, url: str) -> None:
        super().__init__(url)
        host, port, access = parse_mjpeg(url)
        self._pictures = NewestPictures()
        try:
            self._server = _Server((host, port), self._pictures, access)
        except OSError as error:
            raise OutputError(f"cannot serve {self.name}: {error_reason(error)}; choose another port") from error
        self.port = int(self._server.server_address[1])
        Thread(target=self._server.serve_forever, args=(0.1,), name=f"server {self.name}", daemon=True).start()

    def select(self, result: LiveResult) -> Sequence[LiveResult]:
        """See `LiveSink`."""
        self._pictures.add_camera(result.camera)
        return [result] if self._pictures.is_watched(result.camera) else []

    def select_status(self, status: CameraStatus) -> Sequence[LiveResult]:
        """See `LiveSink`."""
        self._pictures.add_camera(status.name)
        return []

    def write(self, items: Sequence[LiveResult]) -> None:
        """See `LiveSink`."""
        for result in items:
            picture = jpeg(result.frame, QUALITY)
            self._pictures.put(result.camera, marked_jpeg(picture) if result.upscaled else picture)

    def close(self) -> None:
        """See `LiveSink`."""
        self._pictures.close()
        self._server.shutdown()
        self._server.server_close()


def parse_mjpeg(url: str) -> tuple[str, int, Access]:
    """Host, port and rules of access of the address of an `MjpegSink`.

    Raises:
        UsageError: see `MjpegSink`.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or port is None or parts.path not in ("", "/"):
        raise UsageError(f"expected mjpeg://[:TOKEN@]host:port, got {masked(url)}")
    token = unquote(parts.password) if parts.password else None
    if token is None and not is_local(host):
        raise UsageError(f"{masked(url)} can be reached by other machines; give a token: mjpeg://:TOKEN@{host}:{port}")
    return host, port, access_for(host, port, token)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], pictures: NewestPictures, access: Access) -> None:
        self.pictures, self.access = pictures, access
        self.places = BoundedSemaphore(MAX_VIEWERS)
        super().__init__(address, _Viewer)

    def handle_error(self, request: object, client_address: object) -> None:
        """A viewer that went away is no error."""


class _Viewer(BaseHTTPRequestHandler):
    server: _Server
    server_version, sys_version = "facesr-edge", ""
    timeout = WRITE_S

    def do_GET(self) -> None:
        """Answer a viewer."""
        if self._is_allowed():
            self._route()

    def _route(self) -> None:
        names = {safe_name(name): name for name in self.server.pictures.cameras()}
        wanted = unquote(urlsplit(self.path).path).strip("/")
        if not wanted:
            self._answer(200, "".join(f"/{name}\n" for name in sorted(names)))
        elif wanted not in names:
            self._answer(404, f"no camera {wanted!r}; known: {', '.join(sorted(names))}\n")
        elif self.server.places.acquire(blocking=False):
            try:
                self._stream(names[wanted])
            finally:
                self.server.places.release()
        else:
            self._answer(503, f"{MAX_VIEWERS} viewers at most\n")

    def _is_allowed(self) -> bool:
        headers, access = {name.lower(): value for name, value in self.headers.items()}, self.server.access
        if access.is_token(_password(headers.get("authorization", ""))) or (
            access.is_for_us(headers) and access.has_token(headers)
        ):
            return True
        self._answer(401, "send the token as the password\n", ("WWW-Authenticate", 'Basic realm="facesr-edge"'))
        return False

    def _answer(self, status: int, text: str, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", "text/plain; charset=utf-8"), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def _stream(self, camera: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        parts = self.server.pictures.parts(camera, self._is_there)
        with suppress(OSError):  # the viewer went away
            for part in parts:
                self.wfile.write(part)
        parts.close()  # type: ignore[attr-defined]  # a generator

    def _is_there(self) -> bool:
        """Whether the viewer has not closed the connection; what it sends is of no use and is dropped."""
        self.connection.setblocking(False)
        try:
            return bool(self.connection.recv(1 << 16))
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            self.connection.settimeout(self.timeout)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 (name of the standard library)
        """Requests are not logged."""


def _password(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return b64decode(value, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""
