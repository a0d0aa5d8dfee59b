"""Requests of the transfer child about files that the core hands over: images, sticks, what is imported.

The rooms that know formats are imported by the first look that needs them: most runs only download.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luxusbd.children.params import descriptors, file_name, integer, strings
from luxusbd.children.protocol import Params
from luxusbd.children.transfer_threads import Threads
from luxusbd.transfer.importmodel import ALGORITHMS, Order
from luxusbd.transfer.localcopy import LocalFile, hash_file
from luxusbd.transfer.model import DIGESTS
from luxusbd.transfer.proof import read_small
from luxusbd.transfer.receive import Digests, receive

if TYPE_CHECKING:
    from luxusbd.images.recipes import Recipe


class FileRequests:
    """Handlers; `luxusbd.children.transfer_main` says what each takes and answers."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._recipes: Callable[[], Sequence[Recipe] | None] = lambda: None

    def use_recipes(self, directory: Path | None, kept: Path | None) -> None:
        """Take boot recipes, beside the packaged ones, from the administrator's directory and the catalogue's file."""
        from luxusbd.images.recipebook import RecipeShelf

        self._recipes = RecipeShelf(directory, kept).current

    async def inspect(self, _params: Params, fds: Sequence[int]) -> Any:
        """What a file is."""
        from luxusbd.images.codec import recognition_to_json
        from luxusbd.images.recognise import recognise

        (fd,) = descriptors(fds, 1)
        return await self._threads.look(fd, lambda own: recognition_to_json(recognise(own, self._recipes())))

    async def certificate(self, _params: Params, fds: Sequence[int]) -> Any:
        """The certificate in a file."""
        from luxusbd.images import certificate

        (fd,) = descriptors(fds, 1)
        size = certificate.MAX_FILE + 1
        return await self._threads.look(fd, lambda own: certificate.to_json(certificate.read(os.pread(own, size, 0))))

    async def explain(self, _params: Params, fds: Sequence[int]) -> Any:
        """What a file is, and more about it."""
        from luxusbd.images.details_codec import inspection_to_json
        from luxusbd.images.recognise import inspect

        (fd,) = descriptors(fds, 1)
        return await self._threads.look(fd, lambda own: inspection_to_json(inspect(own, self._recipes())))

    async def look(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        """What a disk holds: a stick's contents, and what would be lost."""
        from luxusbd.stick import elsewhere, foreign
        from luxusbd.stick.codec import contents_to_json
        from luxusbd.stick.losses import to_json
        from luxusbd.stick.reader import look_at_contents, read_stick

        (fd,) = descriptors(fds, 1)
        size = integer(params, "size")

        def look(own: int) -> dict[str, Any]:
            contents = read_stick(own, size)
            lines, losses = look_at_contents(own, size)
            return {
                "contents": None if contents is None else contents_to_json(contents),
                "losses": list(lines),
                "details": to_json(losses),
                "foreign": foreign.to_json(elsewhere.look(own, size) if contents is None else None),
            }

        return await self._threads.look(fd, look)

    async def stick_files(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        """The files in /iso of a stick."""
        from luxusbd.stick.codec import files_to_json
        from luxusbd.stick.isofiles import list_files
        from luxusbd.stick.reader import open_stick

        (fd,) = descriptors(fds, 1)
        size = integer(params, "size")
        return {"files": await self._threads.look(fd, lambda own: files_to_json(list_files(open_stick(own, size))))}

    async def stick_inspect(self, params: Params, fds: Sequence[int]) -> Any:
        """What one image on a stick is."""
        from luxusbd.images.codec import recognition_to_json
        from luxusbd.images.recognise import recognise
        from luxusbd.stick.isofiles import image_file
        from luxusbd.stick.reader import open_stick

        (fd,) = descriptors(fds, 1)
        size, name = integer(params, "size"), file_name(params)

        def look(own: int) -> Any:
            file = image_file(open_stick(own, size), name)
            found = recognise(file, self._recipes())
            file.check_for_grub()
            return recognition_to_json(found)

        return await self._threads.look(fd, look)

    async def stick_hash(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        """The hash of one image on a stick."""
        from luxusbd.stick.isofiles import image_file
        from luxusbd.stick.reader import open_stick

        (fd,) = descriptors(fds, 1)
        size, name = integer(params, "size"), file_name(params)

        def work(progress: Callable[[int, int], None], stop: Callable[[], bool]) -> LocalFile:
            file = image_file(open_stick(fd, size), name)
            file.check_for_grub()
            return LocalFile(file.sha256(progress, stop), file.size)

        found = await self._threads.copy(integer(params, "job"), work)
        return {"sha256": found.sha256, "size": found.size}

    async def read_own(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        """Copy a user's catalogue, if it is right."""
        from luxusbd.catalog.own import MAX_OWN, read_own

        source, destination = descriptors(fds, 2)
        name = file_name(params)

        def work(own: int) -> dict[str, Any]:
            data = read_small(own, MAX_OWN, name)
            read_own(data, name)
            os.pwrite(destination, data, 0)
            return {"size": len(data)}

        return await self._threads.look(source, work)

    async def hash(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        """The hash of a file."""
        (fd,) = descriptors(fds, 1)
        found = await self._threads.copy(
            integer(params, "job") if "job" in params else 0,
            lambda progress, stop: hash_file(fd, progress, stop),
        )
        return {"sha256": found.sha256, "size": found.size}

    async def digests(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        """Several hashes of a file."""
        (fd,) = descriptors(fds, 1)
        running = Digests(name for name in strings(params, "algorithms") if name in DIGESTS)
        await self._threads.copy(0, lambda progress, stop: hash_file(fd, progress, stop, running=running))
        return {"digests": [{"algorithm": name, "value": value} for name, value in running.content().digests.items()]}

    async def receive(self, params: Params, fds: Sequence[int]) -> dict[str, Any]:
        """Copy a file or a stream, unpacking it on the way."""
        source, destination = descriptors(fds, 2)
        order = Order(
            size=integer(params, "size"),
            most=integer(params, "most"),
            reserve=integer(params, "reserve"),
            algorithms=tuple(name for name in strings(params, "algorithms") if name in ALGORITHMS),
            keep_packed=params.get("keep_packed") is True,
        )
        found = await self._threads.copy(
            integer(params, "job"),
            lambda progress, stop: receive(source, destination, order, progress, stop),
        )
        return asdict(found)
