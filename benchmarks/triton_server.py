"""Run an exported repository on a real Triton server and compare its faces with `load()`; measure several clients.

    pip download nvidia-pytriton --no-deps -d wheels && python -m zipfile -e wheels/*.whl pytriton
    pip install --target numpy1 --no-deps 'numpy<2' 'opencv-python-headless<4.12'
    python -m facesr_edge.benchmarks.triton_server pytriton --site numpy1 --faces FOLDER

The wheel holds the server with its Python backend only. Therefore a model in Python runs the graphs of the networks in
ONNX Runtime; their configurations are those of the export but for the backend. This backend reads arrays of NumPy 2 as
empty, hence the folder with NumPy 1.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import facesr_edge
import numpy as np
from facesr_edge.sdk.serving.triton.config import CONFIG, ServingOptions, parse_config
from facesr_edge.sdk.serving.triton.repository import FACES_SUFFIX, export_repository
from facesr_edge.zoo import catalogue
from numpy.typing import NDArray

GRPC_PORT = 18001
FRAME_WH = (480, 270)
START_S = 120
NETWORK_PY = """
import os, onnxruntime
import triton_python_backend_utils as utils


class TritonPythonModel:
    def initialize(self, args):
        path = os.path.join(args["model_repository"], args["model_version"], "model.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def execute(self, requests):
        import numpy as np

        batches = [utils.get_input_tensor_by_name(request, "pixels").as_numpy() for request in requests]
        outputs = self.session.run(None, {"pixels": np.concatenate(batches)})
        ends = np.cumsum([len(batch) for batch in batches])[:-1]
        names = [node.name for node in self.session.get_outputs()]
        rows = zip(*(np.split(output, ends) for output in outputs))
        return [utils.InferenceResponse([utils.Tensor(*pair) for pair in zip(names, row)]) for row in rows]
"""


def write_repository(folder: Path, model: str, site: Path, options: ServingOptions) -> None:
    """Export a model, and let models in Python run the graphs of its networks."""
    from google.protobuf import text_format

    bundles, detector = [catalogue.find(model)], catalogue.find("detector")
    exported = export_repository(bundles, folder, detector=detector, options=options)
    packages = [str(site.absolute()), *filter(None, sys.path)]
    for one in exported:
        program = folder / one.name / "1" / "model.py"
        if one.backend != "python":
            path = folder / one.name / CONFIG
            config = parse_config(path.read_text("utf-8"), str(path))
            config.backend, config.default_model_filename = "python", "model.py"
            path.write_text(text_format.MessageToString(config), "utf-8")
            program.write_text(NETWORK_PY, "utf-8")
        text = program.read_text("utf-8")
        program.write_text(f"import sys\nsys.path[:0] = {packages!r}\n{text}", "utf-8")


@contextmanager
def running(package: Path, repository: Path, log: Path) -> Iterator[Any]:
    """Client of a server, until the block ends."""
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    folder = (package / "pytriton" / "tritonserver").absolute()
    version = "{}.{}".format(*sys.version_info[:2])
    program, stub = folder / "bin" / "tritonserver", folder / "python_backend_stubs" / version / STUB
    shutil.copy(stub, folder / "backends" / "python" / STUB)
    for path in (program, folder / "backends" / "python" / STUB):
        path.chmod(0o755)
    options = [f"--grpc-port={GRPC_PORT}", "--allow-http=false", "--allow-metrics=false"]
    command = [str(program), f"--model-repository={repository}", f"--backend-directory={folder / 'backends'}", *options]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:
        client = InferenceServerClient(f"127.0.0.1:{GRPC_PORT}")
        try:
            for _ in range(10 * START_S):
                try:
                    if client.is_server_ready():
                        break
                except InferenceServerException:
                    if server.poll() is not None:
                        sys.exit(f"the server ended: {log.read_text('utf-8', 'replace').splitlines()[-1]}")
                time.sleep(0.1)
            yield client
        finally:
            client.close()
            server.terminate()


STUB = "triton_python_backend_stub"


def frames_of(folder: Path, count: int) -> list[NDArray[np.uint8]]:
    """Grey frames with three faces of different sizes each."""
    paths, frames = sorted(folder.iterdir()), []
    for n in range(count):
        frame = np.full((FRAME_WH[1], FRAME_WH[0], 3), 118, np.uint8)
        for place, side in enumerate((70, 100, 100)):
            image = np.asarray(cv2.imread(str(paths[(3 * n + place) % len(paths)])), np.uint8)
            x = 10 + 150 * place
            frame[20 : 20 + side, x : x + side] = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        frames.append(frame)
    return frames


def answer(client: Any, model: str, frame: NDArray[np.uint8]) -> tuple[NDArray[Any], NDArray[Any], float]:
    """Pixels of the faces, composite, and seconds of a request."""
    from tritonclient.grpc import InferInput

    tensor = InferInput("frame", list(frame.shape), "UINT8")
    tensor.set_data_from_numpy(frame)
    start_s = time.perf_counter()
    result = client.infer(model, [tensor])
    return result.as_numpy("pixels"), result.as_numpy("composite"), time.perf_counter() - start_s


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="folder of the unpacked wheel")
    parser.add_argument("--site", type=Path, required=True, help="folder with NumPy 1 and its OpenCV")
    parser.add_argument("--faces", type=Path, required=True, help="folder of portraits")
    parser.add_argument("--model", default="edge-nano-x4")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--queue-delay-us", type=int, default=0)
    arguments = parser.parse_args()
    frames = frames_of(arguments.faces, arguments.frames)
    with facesr_edge.load(arguments.model, engine="onnxruntime", precision="fp32", threads=1) as sr:
        expected = [sr(frame) for frame in frames]
    name = f"{arguments.model}{FACES_SUFFIX}"
    with tempfile.TemporaryDirectory() as folder:
        repository, log = Path(folder) / "models", Path(folder) / "server.log"
        options = ServingOptions(queue_delay_us=arguments.queue_delay_us, pipelines=arguments.clients)
        write_repository(repository, arguments.model, arguments.site, options)
        with running(arguments.package, repository, log) as client, ThreadPoolExecutor(arguments.clients) as pool:
            start_s = time.perf_counter()
            answers = list(pool.map(lambda frame: answer(client, name, frame), frames))
            took_s = time.perf_counter() - start_s
            statistics = client.get_inference_statistics(arguments.model, as_json=True)
    equal = sum(
        np.array_equal(pixels, np.concatenate([face.pixels.reshape(-1) for face in result.faces]))
        and result.frame is not None
        and np.array_equal(composite, result.frame)
        for (pixels, composite, _), result in zip(answers, expected, strict=True)
    )
    faces = sum(len(result.faces) for result in expected)
    ms = 1e3 * np.percentile([seconds for *_, seconds in answers], [50, 99])
    print(f"{equal} of {len(frames)} frames equal load() bit for bit, {faces} faces")
    print(f"{arguments.clients} clients: {len(frames) / took_s:.1f} frames/s, p50 {ms[0]:.0f} ms, p99 {ms[1]:.0f} ms")
    batches = statistics["model_stats"][0].get("batch_stats", [])
    sizes = {int(one["batch_size"]): int(one["compute_infer"]["count"]) for one in batches}
    print("batches of the network, warm-up included:", ", ".join(f"{n} x {size}" for size, n in sorted(sizes.items())))
    if equal < len(frames):
        sys.exit(1)


if __name__ == "__main__":
    main()
