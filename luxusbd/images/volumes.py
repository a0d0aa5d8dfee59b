"""The volume descriptors at the start of an image: which filesystems it has, and where its boot catalogue is.

Sources: ECMA-119 section 8, ECMA-167 part 2 section 9 (the volume recognition sequence that announces UDF), El Torito.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from luxusbd.images.bounded import BoundedReader
from luxusbd.images.eltorito import BootRecord, parse_boot_catalogue
from luxusbd.images.iso9660_records import SECTOR, VolumeDescriptor, parse_volume

MAX_DESCRIPTORS = 64
FIRST_DESCRIPTOR = 16 * SECTOR

_NOTHING = bytes(5)


@dataclass(frozen=True)
class Volumes:
    """What the descriptors announce."""

    primary: VolumeDescriptor | None = None
    joliet: VolumeDescriptor | None = None
    boot_records: tuple[BootRecord, ...] = ()
    udf: bool = False
    """A UDF volume is announced; whether it is there is another question."""


def read_volumes(reader: BoundedReader) -> Volumes:
    """Read the descriptors; all fields are empty where the file is no disc image.

    Raises:
        MalformedImageError: a volume descriptor contradicts itself.
    """
    primary: VolumeDescriptor | None = None
    joliet: VolumeDescriptor | None = None
    catalogue: int | None = None
    udf = False
    for index in range(MAX_DESCRIPTORS):
        at = FIRST_DESCRIPTOR + index * SECTOR
        if at + SECTOR > reader.size:
            break
        sector = reader.read(at, SECTOR)
        identifier = sector[1:6]
        if identifier in (b"NSR02", b"NSR03"):
            udf = True
        elif identifier == b"CD001":
            kind = sector[0]
            if kind == 1 and primary is None:
                primary = parse_volume(sector)
            elif kind == 2 and joliet is None and (volume := parse_volume(sector)).joliet:
                joliet = volume
            elif kind == 0 and sector[7:30] == b"EL TORITO SPECIFICATION" and catalogue is None:
                catalogue = struct.unpack_from("<I", sector, 71)[0]
        # with blocks of 4096 bytes every second sector between the descriptors of UDF is empty
        elif identifier not in (b"BEA01", b"TEA01", b"BOOT2", _NOTHING):
            break
    return Volumes(primary, joliet, _boot_records(reader, primary, catalogue), udf)


def _boot_records(
    reader: BoundedReader, primary: VolumeDescriptor | None, catalogue: int | None
) -> tuple[BootRecord, ...]:
    if catalogue is None:
        return ()
    start = catalogue * (primary.block_size if primary is not None else SECTOR)
    if start + SECTOR > reader.size:
        return ()  # a broken boot record does not keep the files from being read
    return parse_boot_catalogue(reader.read(start, SECTOR))
