"""OpenCV capture loop that shows camera frames with upscaled faces.

    python -m facesr_edge.samples.embed_opencv 0        # or a video file, or rtsp://…

Requires OpenCV with GUI support: pip install opencv-python.
"""

from __future__ import annotations

import argparse
import sys

import cv2
import facesr_edge


def main(source: str) -> None:
    """Show each frame until a key is pressed or the source ends."""
    if any(line.split() == ["GUI:", "NONE"] for line in cv2.getBuildInformation().splitlines()):
        sys.exit("OpenCV has no GUI support; pip uninstall opencv-python-headless && pip install opencv-python")
    camera = cv2.VideoCapture(int(source) if source.isdigit() else source)
    if not camera.isOpened():
        sys.exit(f"{source} cannot be opened; give a camera index, a video file or rtsp://…")
    with facesr_edge.load(outscale=2) as sr:
        sr.warm_up()
        while camera.isOpened():
            ok, frame = camera.read()
            if not ok:
                break
            result = sr(frame)
            assert result.frame is not None  # None only with composite=False
            label = f"{len(result.faces)} faces, {result.timings_ms['total']:.0f} ms"
            cv2.putText(result.frame, label, (16, 40), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 255), 2)
            cv2.imshow("facesr-edge: added detail is an estimate", result.frame)
            if cv2.waitKey(1) != -1:
                break
    camera.release()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Show camera frames with upscaled faces.")
    parser.add_argument("source", nargs="?", default="0", help="camera index, video file or rtsp://…")
    main(parser.parse_args().source)
