"""Camera window with super-resolved faces, in OpenCV's own loop.

    python -m facesr_edge.samples.embed_opencv 0        # or a video file, or rtsp://…

Needs a build of OpenCV with windows: pip install opencv-python.
"""

from __future__ import annotations

import sys

import cv2
import facesr_edge


def main(source: str) -> None:
    """Show each frame until a key is pressed."""
    camera = cv2.VideoCapture(int(source) if source.isdigit() else source)
    with facesr_edge.load("idrn-x4", outscale=2) as sr:
        sr.warm_up()
        while camera.isOpened():
            ok, frame = camera.read()
            if not ok:
                break
            result = sr(frame)
            assert result.frame is not None  # there is one unless composite=False
            label = f"{len(result.faces)} faces, {result.timings_ms['total']:.0f} ms"
            cv2.putText(result.frame, label, (16, 40), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 255), 2)
            cv2.imshow("facesr-edge: added detail is an estimate", result.frame)
            if cv2.waitKey(1) != -1:
                break
    camera.release()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "0")
