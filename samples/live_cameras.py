"""Live cameras: print each new face, how it was upscaled, and how old its frame was.

python -m facesr_edge.samples.live_cameras rtsp://camera/one rtsp://camera/two
"""

from __future__ import annotations

import argparse
import sys

import facesr_edge


def main(sources: list[str], budget_ms: float) -> None:
    """Print until all cameras end, or Ctrl-C."""
    seen: set[tuple[str, int]] = set()
    with facesr_edge.live(sources, budget_ms=budget_ms) as results:
        for result in results:
            for face in result.faces:  # face.pixels: upscaled, face.original: as the camera saw it
                if (result.camera, face.track_id) not in seen:
                    seen.add((result.camera, face.track_id))
                    age = f"{result.times.age_ms:.0f} ms after its frame arrived"
                    print(f"{result.camera}: face {face.track_id} by {face.treatment}, {age}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print the faces of live cameras.")
    parser.add_argument("sources", nargs="+", help="URL, camera index or video file")
    parser.add_argument("--budget-ms", type=float, default=100.0, help="from the arrival of a frame to its result")
    args = parser.parse_args()
    try:
        main(args.sources, args.budget_ms)
    except facesr_edge.FacesrError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass
