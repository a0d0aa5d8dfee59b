"""An initrd whose only program says on the first serial port what the kernel was given: command line and initrds.

The program is put together here from a dozen kinds of instructions, so that no compiler and no other program's binary
is needed. Sources: System V ABI for x86-64 (system calls), Documentation/driver-api/early-userspace/
buffer-format.rst (newc), the ELF-64 object file format.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

BEGIN = "TINY INIT BEGINS"
END = "TINY INIT ENDS"
_BASE = 0x400000
_HEADER = 64 + 56
_BUFFER = 16384
_READ, _WRITE, _OPEN, _PAUSE, _MOUNT, _GETDENTS64 = 0, 1, 2, 34, 165, 217
_RDI, _RSI, _RDX, _R10, _R8 = (b"\x48\xc7\xc7", b"\x48\xc7\xc6", b"\x48\xc7\xc2", b"\x49\xc7\xc2", b"\x49\xc7\xc0")


class _Code:
    """Machine code with texts behind it; addresses are known once everything is."""

    def __init__(self) -> None:
        self._code = bytearray()
        self._texts = bytearray()
        self._at_text: list[tuple[int, int]] = []
        self._at_buffer: list[tuple[int, int]] = []
        self._jumps: list[tuple[int, str]] = []
        self._labels: dict[str, int] = {}

    def raw(self, *codes: bytes) -> None:
        """Instructions as they are."""
        for code in codes:
            self._code += code

    def load(self, register: bytes, value: int) -> None:
        """mov register, value"""
        self._code += register + struct.pack("<i", value)

    def load_text(self, register: bytes, text: str) -> None:
        """mov register, address of a text that ends with a zero"""
        self._at_text.append((len(self._code) + 3, len(self._texts)))
        self._texts += text.encode() + b"\0"
        self.load(register, 0)

    def load_buffer(self, register: bytes, offset: int = 0) -> None:
        """mov register, address in the buffer"""
        self._at_buffer.append((len(self._code) + 3, offset))
        self.load(register, 0)

    def label(self, name: str) -> None:
        """A place to jump to."""
        self._labels[name] = len(self._code)

    def jump(self, code: bytes, name: str) -> None:
        """A jump of four bytes."""
        self._jumps.append((len(self._code) + len(code), name))
        self._code += code + bytes(4)

    def call(self, number: int) -> None:
        """mov rax, number; syscall"""
        self._code += b"\x48\xc7\xc0" + struct.pack("<i", number) + b"\x0f\x05"

    def say(self, text: str) -> None:
        """write(rbx, text)"""
        self.raw(b"\x48\x89\xdf")  # mov rdi, rbx
        self.load_text(_RSI, text)
        self.load(_RDX, len(text.encode()))
        self.call(_WRITE)

    def finish(self) -> bytes:
        """The program as an ELF file with one segment."""
        texts = _BASE + _HEADER + len(self._code)
        buffer = texts + len(self._texts)
        for at, offset in self._at_text:
            struct.pack_into("<i", self._code, at, texts + offset)
        for at, offset in self._at_buffer:
            struct.pack_into("<i", self._code, at, buffer + offset)
        for at, name in self._jumps:
            struct.pack_into("<i", self._code, at, self._labels[name] - at - 4)
        body = bytes(self._code + self._texts)
        size = _HEADER + len(body)
        ident = b"\x7fELF\x02\x01\x01" + bytes(9)
        header = ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, _BASE + _HEADER, 64, 0, 0, 64, 56, 1, 64, 0, 0)
        segment = struct.pack("<IIQQQQQQ", 1, 7, 0, _BASE, _BASE, size, size + _BUFFER, 4096)
        return header + segment + body


def _program() -> bytes:
    code = _Code()
    code.load_text(_RDI, "/dev/ttyS0")
    code.load(_RSI, 2)  # O_RDWR
    code.load(_RDX, 0)
    code.call(_OPEN)
    code.raw(b"\x48\x89\xc3")  # mov rbx, rax
    code.load_text(_RDI, "none")
    code.load_text(_RSI, "/proc")
    code.load_text(_RDX, "proc")
    code.load(_R10, 0)
    code.load(_R8, 0)
    code.call(_MOUNT)
    code.say(f"\n{BEGIN}\ncommand line: ")
    code.load_text(_RDI, "/proc/cmdline")
    code.load(_RSI, 0)
    code.call(_OPEN)
    code.raw(b"\x48\x89\xc7")  # mov rdi, rax
    code.load_buffer(_RSI)
    code.load(_RDX, _BUFFER)
    code.call(_READ)
    code.raw(b"\x48\x89\xc2", b"\x48\x89\xdf")  # mov rdx, rax; mov rdi, rbx
    code.load_buffer(_RSI)
    code.call(_WRITE)
    code.load_text(_RDI, "/")
    code.load(_RSI, 0x10000)  # O_DIRECTORY
    code.call(_OPEN)
    code.raw(b"\x48\x89\xc7")
    code.load_buffer(_RSI)
    code.load(_RDX, _BUFFER)
    code.call(_GETDENTS64)
    code.raw(b"\x49\x89\xc5", b"\x4d\x31\xf6")  # mov r13, rax; xor r14, r14
    code.label("entry")
    code.raw(b"\x4d\x39\xee")  # cmp r14, r13
    code.jump(b"\x0f\x8d", "end")  # jge
    code.say("found: ")
    code.load_buffer(_RSI, 19)  # d_name
    code.raw(b"\x4c\x01\xf6", b"\x48\x31\xd2")  # add rsi, r14; xor rdx, rdx
    code.label("length")
    code.raw(b"\x80\x3c\x16\x00")  # cmp byte [rsi+rdx], 0
    code.jump(b"\x0f\x84", "write")  # je
    code.raw(b"\x48\xff\xc2")  # inc rdx
    code.jump(b"\xe9", "length")
    code.label("write")
    code.raw(b"\x48\x89\xdf")
    code.call(_WRITE)
    code.say("\n")
    code.load_buffer(_RSI, 16)  # d_reclen
    code.raw(b"\x4c\x01\xf6", b"\x48\x0f\xb7\x06", b"\x49\x01\xc6")  # add rsi, r14; movzx rax, [rsi]; add r14, rax
    code.jump(b"\xe9", "entry")
    code.label("end")
    code.say(f"{END}\n")
    code.label("stay")
    code.call(_PAUSE)
    code.jump(b"\xe9", "stay")
    return code.finish()


def archive(files: Mapping[str, bytes]) -> bytes:
    """An archive that a kernel unpacks, with plain files in its root."""
    return _newc({name: (0o100644, 0, 0, data) for name, data in files.items()})


def initrd(marker: str) -> bytes:
    """The initrd with the program, and an empty file `marker`."""
    return _newc(
        {
            "dev": (0o040755, 0, 0, b""),
            "dev/ttyS0": (0o020600, 4, 64, b""),
            "proc": (0o040755, 0, 0, b""),
            "init": (0o100755, 0, 0, _program()),
            marker: (0o100644, 0, 0, b""),
        }
    )


def _newc(entries: Mapping[str, tuple[int, int, int, bytes]]) -> bytes:
    out = bytearray()
    for number, (name, (mode, major, minor, data)) in enumerate((*entries.items(), ("TRAILER!!!", (0, 0, 0, b"")))):
        fields = (number + 1, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4)
        out += data + bytes(-len(data) % 4)
    return bytes(out + bytes(-len(out) % 512))
