"""What the stages of one pipeline share on a GPU."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from numpy.typing import NDArray

from ..engines.cuda import Gpu
from ..engines.device_array import DeviceArray
from ..engines.errors import EngineError
from ..engines.gpu_stages import FrameStages
from .gpu_room import Room
from .gpu_timings import EventClock


class Workbench:
    """One stream, and on it kernels, memory and a clock.

    Args:
        gpu: where everything lies; it has to outlive this.

    Raises:
        EngineError: the kernels do not compile here.
    """

    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu
        with ExitStack() as owned:
            self.stream = gpu.stream()
            owned.callback(self.stream.close)
            self.stages = owned.enter_context(FrameStages(gpu, self.stream))
            self.room = Room(gpu, self.stream)
            owned.callback(self.room.close)
            self.clock = EventClock(gpu, self.stream)
            owned.callback(self.clock.close)
            self._owned: ExitStack | None = owned.pop_all()

    def check_open(self) -> None:
        """Refuse to work after `close`.

        Raises:
            EngineError: closed.
        """
        if self._owned is None:
            raise EngineError("the pipeline is closed; load it again")

    def download(self, name: str, array: DeviceArray) -> NDArray[Any]:
        """Queue a copy into page-locked memory of a name, which holds it once the stream has passed."""
        here = self.room.pinned(name, array.shape, array.dtype)
        self.gpu.download(array, here, self.stream)
        return here

    def close(self) -> None:
        """Give everything back, the stream last, once it has passed; harmless when done already."""
        owned, self._owned = self._owned, None
        if owned is not None:
            owned.close()
