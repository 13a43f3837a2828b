"""Many clients at once: every request gets the right answer. The long variant is `benchmarks/face_service.py`."""

import asyncio
import os

from facesr_edge.benchmarks.face_service import run_clients
from facesr_edge.sdk.serving.faces.admission import Admission
from facesr_edge.sdk.serving.faces.gate import SLICE, Gate, last_slice
from facesr_edge.sdk.serving.faces.limits import Limits


def test_50_clients_at_once_get_the_answers_of_one(client, picture):
    url = f"http://127.0.0.1:{client.address[1]}"
    done = run_clients(url, [picture], clients=50, seconds=0.5, process=os.getpid(), query="?format=jpeg")
    assert set(done.statuses) == {200} and not done.broken and done.wrong == 0
    assert len(done.latencies_s) >= 50


def test_a_request_keeps_its_place_until_its_answer_was_read():
    """Else many answers that nobody reads would fill the memory."""
    body, sent, statuses, admission = bytes(range(256)) * 4096, [], [], Admission(Limits())

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def run():
        has_read = asyncio.Event()

        async def send(message):  # as of a server whose client reads one slice and pauses
            sent.append(message)
            if len(sent) == 2:
                await has_read.wait()

        scope = {"type": "http", "path": "/faces", "client": ("192.0.2.1", 1)}
        task = asyncio.create_task(Gate(app, "/faces", admission, None, statuses.append)(scope, None, send))
        for _ in range(5):
            await asyncio.sleep(0)
        assert (admission.count, len(sent)) == (1, 2)
        has_read.set()
        await task

    asyncio.run(run())
    assert admission.count == 0 and statuses == [200]
    assert b"".join(message.get("body", b"") for message in sent) == body
    assert [message.get("more_body", False) for message in sent] == [False, True, True, True, False]
    assert max(len(message.get("body", b"")) for message in sent) == SLICE


def test_the_slices_of_a_body_are_the_body():
    for size in (1, SLICE - 1, SLICE, SLICE + 1, 2 * SLICE, 2 * SLICE + 1):
        starts = [*range(0, size - SLICE, SLICE), last_slice(size)]
        assert starts == list(range(0, size, SLICE))
