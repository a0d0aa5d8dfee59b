"""A bundle that a web server hands out: its small files. The images are fetched by the service, as from any mirror."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.parse
import urllib.request

from luxusb_cli.bundles.directory import damaged
from luxusb_cli.bundles.index import INDEX
from luxusb_cli.errors import LUXUSB, CliError
from luxusb_cli.i18n import _
from luxusb_cli.text import clean

PATIENCE = 20.0
"""Seconds for an answer, and between two pieces of it."""
SCHEMES = ("http://", "https://")


def is_address(place: str) -> bool:
    """Whether a bundle is named by an address, and not by a directory."""
    return place.lower().startswith(SCHEMES)


class Site:
    """The directory of a bundle on a web server."""

    def __init__(self, address: str) -> None:
        """Take the address of the directory, or of the index in it.

        Raises:
            CliError: it is no address that the service could fetch from.
        """
        try:
            parts = urllib.parse.urlsplit(address)
            port = parts.port
        except ValueError as error:
            raise damaged(address, f"{error}.") from error
        if not parts.hostname or port == 0 or parts.username is not None or parts.query or parts.fragment:
            raise damaged(
                address,
                _("An address of a host and a path is needed, without user name, ? and #."),
                _("Give one such as {example}.").format(example="http://teacher.local:8000/"),
            )
        path = urllib.parse.quote(parts.path.removesuffix(INDEX), safe="/%+~:@!$&'()*,;=-._")
        self.address = urllib.parse.urlunsplit((parts.scheme.lower(), parts.netloc, path.rstrip("/") + "/", "", ""))

    @property
    def shown(self) -> str:
        """What messages call it."""
        return self.address

    def at(self, path: str) -> str:
        """The address of a file of the bundle."""
        return self.address + urllib.parse.quote(path)

    def has(self, path: str) -> bool:
        """Whether there is a file of that name."""
        try:
            with self._open(path):
                return True
        except _MissingError:
            return False

    def read(self, path: str, most: int) -> bytes:
        """All of a file of at most `most` bytes.

        Raises:
            CliError: it cannot be had, or is larger.
        """
        try:
            with self._open(path) as answer:
                found = b""
                while len(found) <= most and (chunk := answer.read(most + 1 - len(found))):
                    found += chunk
                told = answer.headers.get("Content-Length", "")
                if told.isascii() and told.isdigit() and len(found) < min(int(told[:18]), most):
                    raise http.client.IncompleteRead(found, int(told[:18]) - len(found))
        except _MissingError:
            raise damaged(self.at(path), _("The server has no such file.")) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(path, error) from error
        if len(found) > most:
            raise damaged(self.at(path), _("It has more than {size} KiB.").format(size=most // 1024))
        return found

    def _open(self, path: str) -> http.client.HTTPResponse:
        # only what stands in the address: a class room has no proxy, and what is fetched is checked by its hash
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())
        # it begins with one of SCHEMES
        request = urllib.request.Request(  # noqa: S310
            self.at(path), headers={"User-Agent": "luxusb", "Cache-Control": "no-cache"}
        )
        try:
            answer: http.client.HTTPResponse = opener.open(request, timeout=PATIENCE)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in (404, 410):
                raise _MissingError from None
            raise self._unreachable(path, error) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._unreachable(path, error) from error
        return answer

    def _unreachable(self, path: str, error: Exception) -> CliError:
        reason = getattr(error, "reason", None) or error
        if isinstance(error, urllib.error.HTTPError):
            reason = _("the server answered {status}").format(status=error.code)
        return CliError(
            _("Could not fetch {address}").format(address=clean(self.at(path))),
            f"{clean(str(reason) or type(error).__name__)}.",
            _("Ask whoever runs the server whether it is on, and whether the address is right."),
            name=LUXUSB + "NetworkFailed",
        )


class _MissingError(Exception):
    """The server has no such file."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Nothing leads elsewhere: the images are fetched from below the same address."""

    def redirect_request(self, *_arguments: object) -> None:
        """Do not follow."""
        return
