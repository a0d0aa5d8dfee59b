"""Runs inside the virtual machine: reads commands as JSON lines from a virtio port and answers what they did.

One instance an identity: root, a user at the machine, one with a session in the background, one with none. Uses nothing
but the standard library.
"""

import json
import os
import subprocess
import sys
import threading
import time
from typing import Any


def main() -> None:
    port = _open(sys.argv[1])
    lock = threading.Lock()

    def say(message: dict[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        with lock:
            while data:
                data = data[os.write(port, data) :]

    with open("/proc/sys/kernel/random/boot_id") as file:  # noqa: PTH123 - as little as can be
        say({"hello": os.getuid(), "boot": file.read().strip()})
    rest = b""
    while True:
        data = os.read(port, 65536)
        if not data:  # nobody at the other end
            time.sleep(0.1)
            continue
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            threading.Thread(target=_serve, args=(json.loads(line), say), daemon=True).start()


def _open(path: str) -> int:
    while True:
        try:
            return os.open(path, os.O_RDWR)
        except OSError:  # udev has not made it yet, or the instance before us has not let it go
            time.sleep(0.1)


def _serve(order: dict[str, Any], say: Any) -> None:
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            ["/bin/bash", "-c", order["command"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **order["environment"]},
            cwd="/",
            start_new_session=True,
        )
        try:
            out, err = process.communicate(order["input"].encode(), timeout=order["timeout"])
            status = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            out, err = process.communicate()
            status = -9
        say(
            {
                "id": order["id"],
                "status": status,
                "stdout": out.decode("utf-8", "replace"),
                "stderr": err.decode("utf-8", "replace"),
                "seconds": time.monotonic() - began,
            }
        )
    except Exception as error:  # noqa: BLE001 - it is answered, so that nobody waits
        say({"id": order["id"], "status": -1, "stdout": "", "stderr": repr(error), "seconds": 0.0})


if __name__ == "__main__":
    main()
