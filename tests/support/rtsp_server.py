"""A real RTSP server: GStreamer's, run by the system's Python.

Takes its options as JSON, prints its port, obeys the commands on its standard input, and ends when that ends:
"size W H" for frames of another size, "lose N" to lose the next N encoded frames, "still" and "moving".
"""

import json
import sys
import threading
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402
from numbered_picture import luma  # noqa: E402 (in the folder of this program)


class Pictures:
    """Pushes numbered pictures into an appsrc: a counter, the time in ms, and a background that scrolls."""

    def __init__(self, size, fps, start):
        self.size, self.fps, self.counter, self.still = size, fps, start, False
        self.shown = start  # position of the background
        self.push_to = None

    def connect(self, appsrc):
        self.push_to = None
        appsrc.set_property("format", Gst.Format.TIME)
        appsrc.set_property("is-live", True)
        appsrc.set_property("do-timestamp", True)
        appsrc.connect("need-data", self.begin)  # what is pushed before the pipeline runs may be lost, with its caps

    def begin(self, appsrc, _):
        self.push_to = appsrc

    def picture(self):
        width, height = self.size
        if not self.still:
            self.shown = self.counter
        numbers = () if self.still else (self.counter, int(time.monotonic() * 1000) & 0xFFFFFFFF)
        return luma(self.size, self.shown, numbers) + b"\x80" * (width * height // 2)

    def push(self):
        if self.push_to is not None:
            text = "video/x-raw,format=I420,width={},height={},framerate={}/1"
            caps = Gst.Caps.from_string(text.format(*self.size, self.fps))
            self.push_to.emit("push-sample", Gst.Sample.new(Gst.Buffer.new_wrapped(self.picture()), caps, None, None))
            self.counter += 1
        return True


class Loss:
    """Loses encoded frames."""

    def __init__(self):
        self.count = 0

    def connect(self, element):
        element.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, self.probe)

    def probe(self, pad, info):
        if self.count:
            self.count -= 1
            return Gst.PadProbeReturn.DROP
        return Gst.PadProbeReturn.OK


def with_digest(server, factory, user, password):
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_digest(user, password, token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)


def obey(loop, pictures, loss):
    for line in sys.stdin:
        command, *numbers = line.split()
        if command == "size":
            pictures.size = int(numbers[0]), int(numbers[1])
        elif command == "lose":
            loss.count = int(numbers[0])
        else:
            pictures.still = command == "still"
    loop.quit()


def main(launch, port, user, password, size, fps, start, receives):
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(port))
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(launch)
    factory.set_shared(True)
    if receives:
        factory.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
    pictures, loss = Pictures(tuple(size), fps, start), Loss()

    def configure(_, media):
        for name, part in (("picture", pictures), ("loss", loss)):
            element = media.get_element().get_by_name_recurse_up(name)
            if element is not None:
                part.connect(element)

    factory.connect("media-configure", configure)
    if user:
        with_digest(server, factory, user, password)
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    GLib.timeout_add(round(1000 / fps), pictures.push)
    loop = GLib.MainLoop()
    print(server.get_bound_port(), flush=True)
    threading.Thread(target=obey, args=(loop, pictures, loss), daemon=True).start()
    loop.run()


main(**json.loads(sys.argv[1]))
