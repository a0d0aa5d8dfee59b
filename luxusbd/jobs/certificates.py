"""The administrator's certificates, which every stick that is made or refreshed brings along for MokManager."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from luxusbd.errors import InvalidArgumentError
from luxusbd.images.model import Certificate

ENDINGS = (".cer", ".crt", ".der", ".pem")

log = logging.getLogger(__name__)


class AdminCertificates:
    """Reads them anew each time.

    Args:
        directory: where they lie; it need not be there.
        read: reads the one behind a descriptor, in the process that may read foreign bytes.
    """

    def __init__(self, directory: Path, read: Callable[[int], Awaitable[Certificate]]) -> None:
        self._directory = directory
        self._read = read

    async def all(self) -> tuple[Certificate, ...]:
        """Those of the directory by the names of their files; what is none is logged, and left out."""
        found: list[Certificate] = []
        for path in self._files():
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except OSError as error:
                log.warning("%s: a certificate cannot be read: %s", path, error.strerror)
                continue
            try:
                found.append(await self._read(fd))
            except InvalidArgumentError as error:
                log.warning("%s: left out of sticks: %s", path, error)
            finally:
                os.close(fd)
        return tuple(found)

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self._directory.iterdir() if path.name.lower().endswith(ENDINGS))
        except FileNotFoundError:
            return []
        except OSError as error:
            log.warning("%s: the certificates cannot be listed: %s", self._directory, error.strerror)
            return []
