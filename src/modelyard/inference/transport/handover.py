"""Where a stream's bytes are read: by the event loop, or by a thread that needs no Python."""

import asyncio

from modelyard.inference.relay import Back, Poller, Relay, make_poller


class Handover:
    """Hands sockets to the poller and takes them back, for one event loop.

    The poller's thread is started for the first stream. Where there is none (only Linux has it,
    and only where the C modules were built) the event loop goes on reading.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._poller: Poller | None = None
        self._closed = make_poller is None

    def take(self, relay: Relay, socket: int, back: Back) -> bool:
        """Let the poller read ``socket`` as long as ``relay`` takes what comes.

        ``back`` is called with the bytes that were read and not taken, once it reads no more.
        """
        if self._closed:
            return False
        poller = self._poller or self._start()
        return poller is not None and poller.take(relay, socket, back)

    def close(self) -> None:
        """End the thread. No relay may be with it any more."""
        self._closed = True
        poller, self._poller = self._poller, None
        if poller is not None:
            self._loop.remove_reader(poller.fileno())
            poller.close()
            poller.collect()

    def _start(self) -> Poller | None:
        try:
            poller = make_poller() if make_poller is not None else None
        except OSError:  # no thread or no file descriptor to be had
            poller = None
        if poller is None:
            self._closed = True
            return None
        self._poller = poller
        self._loop.add_reader(poller.fileno(), self._collect)
        return poller

    def _collect(self) -> None:
        if self._poller is not None:
            for back, left in self._poller.collect():
                self._loop.call_soon(back, left)
