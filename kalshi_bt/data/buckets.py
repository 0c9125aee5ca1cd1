"""A dataset in an S3 bucket, or in any store that speaks S3.

Address and keys come from the usual variables of the environment: `AWS_ENDPOINT_URL`, `AWS_REGION`,
`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_PROFILE`.

A bucket has no locks that end with their holder. The lock is an object that is put only where there
is none, and renewed while its holder lives; one that was not renewed for ten minutes, or whose
process is known to be gone, is taken over. Times are compared on the server's clock alone. Should
two writers still meet, the manifest is replaced only in the version the writer has read, so that
the second one fails instead of undoing the first.
"""

import hashlib
import os
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from email.utils import parsedate_to_datetime
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

import polars as pl

from kalshi_bt.data.roots import (
    MANIFEST,
    OURS,
    Written,
    being_written,
    holder,
    one_line,
    saying_refusal,
    write_parquet,
)
from kalshi_bt.errors import DataError, UsageError
from kalshi_bt.schema import STORED

_LOCK = ".lock"
_LEASE = timedelta(minutes=10)
_RENEWAL = 60.0  # seconds
_OVERTAKEN = ("PreconditionFailed", "ConditionalRequestConflict")


class Bucket:
    """A root that is a prefix of a bucket."""

    def __init__(self, address: str) -> None:
        try:
            import s3fs  # noqa: PLC0415 - an optional dependency
        except ImportError:
            raise UsageError(
                f"{address} needs the package s3fs; install it with pip install 'kalshi-bt[s3]'"
            ) from None
        path = address.removeprefix("s3://").rstrip("/")
        self.where = f"s3://{path}"
        self._bucket, _, self._prefix = path.partition("/")
        if not self._bucket:
            raise UsageError(f"{address} names no bucket; write s3://bucket/prefix")
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        self.filesystem = s3fs.S3FileSystem(
            endpoint_url=endpoint,
            client_kwargs={"region_name": region} if region else {},
            use_listings_cache=False,
        )
        self.options = {"aws_endpoint_url": endpoint} if endpoint else {}
        if region:
            self.options["aws_region"] = region
        if endpoint and endpoint.startswith("http://"):
            self.options["aws_allow_http"] = "true"

    def uri(self, path: str) -> str:
        """Return the name under which Polars and DuckDB read a file."""
        return f"{self.where}/{path}"

    def absence(self) -> str:
        """Return, in words, why there is no manifest."""
        try:
            self._call("head_bucket")
        except FileNotFoundError:
            return "no such bucket"
        return f"no {MANIFEST} in it"

    def make(self) -> None:
        """Refuse a prefix that holds other objects; a prefix need not be made."""
        start = self._key("")
        with saying_refusal(self.where):
            found = self._call("list_objects_v2", Prefix=start, MaxKeys=10).get("Contents", ())
        if any(not entry["Key"].removeprefix(start).startswith(".") for entry in found):
            raise DataError(f"{self.where} holds other files and no dataset; choose a new prefix")

    def manifest(self) -> tuple[bytes, str]:
        """Return the manifest and its version."""
        return self._fetch(MANIFEST)[:2]

    def swap(self, content: bytes, version: str) -> None:
        """Replace the manifest of that version; the first one is put only where there is none."""
        with saying_refusal(self.where):
            try:
                self._put(MANIFEST, content, version)
            except _Overtaken:
                raise DataError(
                    f"dataset {self.where} was written by another process meanwhile; try again"
                ) from None

    def put(self, prefix: str, frame: pl.DataFrame) -> Written:
        """Write a data file named by its hash."""
        with saying_refusal(self.where):
            buffer = BytesIO()
            write_parquet(frame, buffer)
            content = buffer.getvalue()
            digest = hashlib.sha256(content).hexdigest()
            path = f"{prefix}.{digest[:16]}.parquet"
            with _reached():
                self.filesystem.pipe_file(f"{self._bucket}/{self._key(path)}", content)
        return Written(path, len(content), digest)

    def get(self, path: str) -> bytes:
        """Return a file's content."""
        return self._fetch(path)[0]

    def size(self, path: str) -> None:
        """Return nothing: an object is there whole or not at all."""

    def sweep(self, keep: set[str]) -> None:
        """Remove data files that are not to be kept; a leftover costs space, nothing else."""
        start = f"{self._bucket}/{self._key('')}"
        with suppress(OSError), _reached():
            for table in STORED:
                found = [p.removeprefix(start) for p in self.filesystem.find(start + table)]
                gone = [p for p in found if OURS.fullmatch(p.rpartition("/")[2]) and p not in keep]
                if gone:
                    self.filesystem.rm([start + path for path in gone])

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock, and renew it."""
        with saying_refusal(self.where):
            lock = _Lock(self, self._locked())
        lock.start()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def spilling(self) -> Iterator[Path]:
        """Return a folder of this machine, for rows on their way; it is gone afterwards."""
        with TemporaryDirectory(prefix="kalshi-bt-") as folder:
            yield Path(folder)

    def _locked(self) -> str:
        """Take the lock, and return its version."""
        try:
            return self._put(_LOCK, holder().encode(), "")
        except _Overtaken:
            pass
        try:
            text, version, age = self._fetch(_LOCK)
        except FileNotFoundError:  # freed just now
            return self._locked()
        if age < _LEASE and not _is_gone(text.decode()):
            raise being_written(self.where, text.decode())
        try:
            return self._put(_LOCK, holder().encode(), version)
        except _Overtaken:
            raise being_written(self.where, "") from None

    def _put(self, path: str, content: bytes, version: str) -> str:
        """Put an object in place of that version, or where there is none; return its version."""
        only = {"IfMatch": version} if version else {"IfNoneMatch": "*"}
        try:
            done = self._call("put_object", Key=self._key(path), Body=content, **only)
        except OSError as error:
            response = getattr(error.__cause__, "response", {})
            if response.get("Error", {}).get("Code") in _OVERTAKEN:
                raise _Overtaken from None
            raise
        return str(done["ETag"])

    def _fetch(self, path: str) -> tuple[bytes, str, timedelta]:
        """Return an object, its version, and its age."""
        from fsspec.asyn import sync  # noqa: PLC0415 - an optional dependency

        found = self._call("get_object", Key=self._key(path))
        with _reached():
            content = sync(self.filesystem.loop, found["Body"].read)
        sent = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
        return content, str(found["ETag"]), sent - found["LastModified"]

    def _call(self, operation: str, **what: Any) -> Any:
        with _reached():
            return self.filesystem.call_s3(operation, Bucket=self._bucket, **what)

    def _key(self, path: str) -> str:
        return f"{self._prefix}/{path}" if self._prefix else path


class _Overtaken(Exception):  # noqa: N818 - not an error by itself
    """The object is not in the version that was expected."""


class _Lock:
    """A lock that is renewed while its process lives."""

    def __init__(self, root: Bucket, version: str) -> None:
        self._root, self._version = root, version
        self._ended = Event()
        self._thread = Thread(target=self._renew, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def release(self) -> None:
        self._ended.set()
        self._thread.join()
        with suppress(OSError):
            if self._root._fetch(_LOCK)[1] == self._version:  # noqa: SLF001 - a part of it
                self._root._call("delete_object", Key=self._root._key(_LOCK))  # noqa: SLF001

    def _renew(self) -> None:
        while not self._ended.wait(_RENEWAL):
            # One that fails is tried again; a lock that was taken over is told by the manifest.
            with suppress(OSError, _Overtaken):
                self._version = self._root._put(_LOCK, holder().encode(), self._version)  # noqa: SLF001


@contextmanager
def _reached() -> Iterator[None]:
    """Make an OSError of what the library raises if it cannot reach or sign in to the store."""
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - an optional dependency

    try:
        yield
    except BotoCoreError as error:
        raise ConnectionError(one_line(error)) from None


def _is_gone(text: str) -> bool:
    """Return whether the holder of a lock is known to be gone: a process of this machine."""
    found = re.fullmatch(r"process (\d+) on (.*)", text)
    if found is None or found[2] != platform.node() or sys.platform == "win32":
        return False
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # of another user
        pass
    return False
