"""XML of strangers, element by element; no tree is built, and a document type is refused before it defines anything,
unless the reader says which entities it may define."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol
from xml.parsers import expat

from luxusbd.errors import LuxusbError
from luxusbd.text import clean


class Reader(Protocol):
    """Is told of the document; bounds what it keeps, and raises what it likes."""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """An element begins; `name` has its namespace before a space, if there is one."""

    def end(self, name: str) -> None:
        """It ends."""

    def text(self, data: str) -> None:
        """Some of its text."""


def read_xml(
    data: bytes,
    reader: Reader,
    fault: Callable[[str], LuxusbError],
    *,
    entity: Callable[..., None] | None = None,
) -> None:
    """Hand `data` over to `reader`.

    Args:
        data: the document.
        reader: is told of it.
        fault: makes the error.
        entity: is told of each entity that a document type defines, as `EntityDeclHandler` of expat, and refuses what
            it does not want; None to refuse every document type.

    Raises:
        LuxusbError: what `fault` makes of a text that begins with a verb ("is not valid XML: …").
    """

    def refuse(*_declaration: Any) -> None:
        raise fault("has a document type, which none needs; is it a web page?")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    if entity is None:
        parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse if entity is None else entity
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise fault(f"is not valid XML: {error}") from error
    except (LookupError, ValueError) as error:
        # an encoding that is unknown to Python, or of several bytes
        raise fault(f"is in no encoding that can be read: {clean(str(error), 100)}") from error
