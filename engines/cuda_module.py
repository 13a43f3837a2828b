"""Kernels, compiled for the device at hand."""

from __future__ import annotations

import numpy as np

from .cuda_context import Context, Owned
from .device_array import DeviceArray
from .streams import Stream


class Module(Owned):
    """Kernels compiled for the device.

    Args:
        context: where to load them.
        source: CUDA C++ in one piece; kernels are `extern "C"`.
        name: of the source, for the compiler's messages.

    Raises:
        EngineError: it does not compile, or does not load.
    """

    def __init__(self, context: Context, source: str, name: str) -> None:
        api = context.api
        with context.current():
            handle = api.module_load(api.compile(source, name))
        super().__init__(context, name, api.module_unload, [handle])
        self._handle = handle
        self._functions: dict[str, int] = {}

    def launch(
        self,
        name: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: tuple[np.generic | DeviceArray, ...],
        stream: Stream,
    ) -> None:
        """Queue a kernel.

        Args:
            name: of the kernel.
            grid: blocks in x, y, z.
            block: threads of a block in x, y, z.
            arguments: numbers of the exact C type (``np.int32(3)``), and arrays for pointers.
            stream: where to queue it.

        Raises:
            EngineError: no such kernel, something is closed, or the driver refused.
        """
        api = self.api()
        stream.api()
        values = tuple(a if isinstance(a, np.generic) else np.uint64(a.pointer) for a in arguments)
        with self._context.current():
            if name not in self._functions:
                self._functions[name] = api.module_function(self._handle, name)
            api.launch(self._functions[name], grid, block, values, stream.handle)
