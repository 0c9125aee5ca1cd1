"""Work in a bounded number of threads, with its results in the one that asked."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
WAITING = 64  # results that may wait to be taken


class _Feed(Generic[T]):
    """Results of the threads on their way to the caller."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[list[T], bool, BaseException | None]] = queue.Queue(WAITING)
        self.stopped = threading.Event()

    def run(self, task: Callable[[], Iterable[T]]) -> None:
        """Put the results of a task, then its end."""
        try:
            for result in task() if not self.stopped.is_set() else ():
                self._put([result], end=False)
            self._put([], end=True)
        except BaseException as error:  # noqa: BLE001  # raised again where it is taken
            self._put([], end=True, error=error)

    def take(self) -> tuple[list[T], bool, BaseException | None]:
        """Return the next result."""
        return self._queue.get()

    def _put(self, results: list[T], *, end: bool, error: BaseException | None = None) -> None:
        while not self.stopped.is_set():
            try:
                return self._queue.put((results, end, error), timeout=0.2)
            except queue.Full:
                continue
        return None


def parallel(
    tasks: Sequence[Callable[[], Iterable[T]]], workers: int, stop: Callable[[], None]
) -> Iterator[tuple[T | None, int]]:
    """Yield the results of tasks as they come, with the number of tasks that are done.

    Parameters
    ----------
    tasks : sequence of callables
        Each returns an iterable; those of one task come in order.
    workers : int
        Threads.
    stop : callable
        Called when the caller ends early or a task fails, so that others end soon.

    Yields
    ------
    result, done
        `result` is None where a task ended.

    Raises
    ------
    BaseException
        Whatever a task raised first.
    """
    feed: _Feed[T] = _Feed()
    done = 0
    pool = ThreadPoolExecutor(max(1, min(workers, len(tasks))), thread_name_prefix="download")
    try:
        for task in tasks:
            pool.submit(feed.run, task)
        while done < len(tasks):
            results, end, error = feed.take()
            if error is not None:
                raise error
            for result in results:
                yield result, done
            if end:
                done += 1
                yield None, done
    finally:
        feed.stopped.set()
        if done < len(tasks):
            stop()
        pool.shutdown(wait=True, cancel_futures=True)
