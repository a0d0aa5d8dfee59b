"""Settings that were changed while the daemon ran: a small file of its own, which lies over the configuration.

The administrator's file stays the administrator's: what SetSettings changes is kept apart, and can be taken back.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from pathlib import Path

from luxusbd import config, configfile
from luxusbd.config import CatalogConfig, Config, Value
from luxusbd.durable import replace_file
from luxusbd.errors import ConfigError, InvalidArgumentError, host_error

FILE_NAME = "settings.json"
"""In the state directory."""
MAX_FILE = 1 << 20

REMOTE = (
    "catalog.update_url",
    "catalog.update_signature_url",
    "catalog.update_key",
    "catalog.update_fingerprints",
)
"""Keys that SetCatalogRemote changes, all at once: each alone could point at a remote that nobody vouches for."""

log = logging.getLogger(__name__)


def check_changeable(keys: Collection[str]) -> None:
    """Whether these keys may be changed while the daemon runs.

    Raises:
        InvalidArgumentError: one of them may not, or there is no such key; the text says what to do.
    """
    known, free = Config().settings(), config.changeable()
    for key in keys:
        if key in free:
            continue
        if key in REMOTE:
            raise InvalidArgumentError(
                f"{key} is changed together with the key that signs the catalogue: by SetCatalogRemote, which is"
                " `luxusb catalog remote`"
            )
        if key in known:
            raise InvalidArgumentError(
                f"{key} cannot be changed while the service runs: write it into {configfile.DEFAULT_PATH} and restart"
                f" luxusbd.service. These can: {', '.join(free)}"
            )
        raise InvalidArgumentError(f"there is no setting {key[:80]!r}; these can be changed: {', '.join(free)}")


class ChangedSettings:
    """The configuration with what was changed on top."""

    def __init__(self, base: Config, path: Path) -> None:
        """`base` is what defaults, file and command line say; what was changed before is in the file at `path`."""
        self.base = base
        self.changed: Mapping[str, Value] = _read(path, base)
        self.config = configfile.changed(base, _written(self.changed), str(path))
        self._path = path

    def origins(self) -> Mapping[str, str]:
        """Where each value comes from: `default`, `configured` (the file or the command line), or `set`."""
        default = Config().settings()
        return {
            key: "set" if key in self.changed else "default" if value == default[key] else "configured"
            for key, value in self.base.settings().items()
        }

    def change(self, values: Mapping[str, object]) -> Collection[str]:
        """Set these keys and keep that for the next start; the keys whose value is another one now.

        Raises:
            InvalidArgumentError: a key that cannot be changed, or a value that the configuration would not take.
            LuxusbError: the disk failed; nothing is changed then.
        """
        check_changeable(values)
        try:
            wanted = configfile.changed(self.base, values, "SetSettings").settings()
        except ConfigError as error:
            raise InvalidArgumentError(error.message.removeprefix("SetSettings: ")) from error
        return self._keep({**self.changed, **{key: wanted[key] for key in values}})

    def reset(self, keys: Collection[str]) -> Collection[str]:
        """Take back what was set, of all keys when `keys` is empty; the keys whose value is another one now.

        Raises:
            InvalidArgumentError: a key that cannot be changed.
            LuxusbError: the disk failed; nothing is changed then.
        """
        check_changeable(keys)
        kept = {key: value for key, value in self.changed.items() if key in REMOTE or (keys and key not in keys)}
        return self._keep(kept)

    def set_remote(self, remote: CatalogConfig | None) -> Collection[str]:
        """Set the keys of `REMOTE` as they are in `remote`, or take back what was set; those with another value now.

        Raises:
            ConfigError: a value that the configuration would not take.
            LuxusbError: the disk failed; nothing is changed then.
        """
        others = {key: value for key, value in self.changed.items() if key not in REMOTE}
        if remote is None:
            return self._keep(others)
        wanted = {key: getattr(remote, key.removeprefix("catalog.")) for key in REMOTE}
        return self._keep({**others, **wanted})

    def _keep(self, values: Mapping[str, Value]) -> Collection[str]:
        before = self.config.settings()
        now = configfile.changed(self.base, _written(values), str(self._path))
        if values != self.changed:
            _write(self._path, values)
        self.changed, self.config = values, now
        return [key for key, value in now.settings().items() if value != before[key]]


def _written(values: Mapping[str, Value]) -> Mapping[str, object]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def _read(path: Path, base: Config) -> Mapping[str, Value]:
    """What is in the file, as far as this version takes it: what it does not take is no reason not to start."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(MAX_FILE))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s: what was set with SetSettings is not in force: %s", path, error)
        return {}
    found: dict[str, Value] = {}
    for key, value in document.items() if isinstance(document, dict) else ():
        try:
            if key not in REMOTE:
                check_changeable([key])
            found[key] = configfile.changed(base, {key: value}, str(path)).settings()[key]
        except (ConfigError, InvalidArgumentError) as error:
            log.warning("%s: %s is left out: %s", path, key, error)
    return found


def _write(path: Path, values: Mapping[str, Value]) -> None:
    try:
        replace_file(path, json.dumps(_written(values), indent=1).encode() + b"\n")
    except OSError as error:
        raise host_error(error, f"writing {path}") from error
