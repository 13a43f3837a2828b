"""Camera window with super-resolved faces, in OpenCV's own loop.

    python -m facesr_edge.samples.embed_opencv 0        # or a video file, or rtsp://…

Needs a build of OpenCV with windows: pip install opencv-python.
"""

from __future__ import annotations

import argparse
import sys

import cv2
import facesr_edge


def main(source: str) -> None:
    """Show each frame until a key is pressed."""
    if any(line.split() == ["GUI:", "NONE"] for line in cv2.getBuildInformation().splitlines()):
        sys.exit("this OpenCV has no windows; pip uninstall opencv-python-headless && pip install opencv-python")
    camera = cv2.VideoCapture(int(source) if source.isdigit() else source)
    if not camera.isOpened():
        sys.exit(f"{source} cannot be opened; give a camera's number, a video file or rtsp://…")
    with facesr_edge.load(outscale=2) as sr:
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
    parser = argparse.ArgumentParser(description="Camera window with super-resolved faces.")
    parser.add_argument("source", nargs="?", default="0", help="a camera's number, a video file, or rtsp://…")
    main(parser.parse_args().source)
