"""Names for the shell's completion: fast, silent, and without waking a daemon that does not run."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

if TYPE_CHECKING:
    from luxusb_cli.catalog import DistroInfo, MirrorState
    from luxusb_cli.client import Client
    from luxusb_cli.model import DeviceInfo

T = TypeVar("T")
VARIABLE = "_LUXUSB_COMPLETE"
"""What a shell sets when it asks; click's name for this program."""
PATIENCE = 1.0
"""Seconds after which a person who pressed Tab gets nothing."""
Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _ask(context: click.Context, question: Callable[[Client], Awaitable[T]], otherwise: T) -> T:
    """The daemon's answer, if it runs and answers soon."""
    import asyncio

    from luxusb_cli.client import Client
    from luxusb_cli.connection import Connection
    from luxusb_cli.errors import CliError

    async def main() -> T:
        async with asyncio.timeout(PATIENCE):
            address = context.find_root().params.get("address")
            async with await Connection.open(address, interactive=False) as connection:
                if not connection.daemon_seen:
                    return otherwise
                return await question(Client(connection))

    # What goes wrong here is told by the command itself, when it is run.
    with suppress(CliError, OSError, TimeoutError, KeyboardInterrupt):
        return asyncio.run(main())
    return otherwise


def _items(pairs: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    """Names that begin with what is typed, each with a few words of help in shells that show them."""
    from luxusb_cli.text import clean

    found: dict[str, CompletionItem] = {}
    for name, help_text in pairs:
        # A name with white space or a control character would fall apart in the shell.
        if name and name.startswith(incomplete) and name == clean(name) and not any(map(str.isspace, name)):
            found.setdefault(name, CompletionItem(name, help=clean(help_text) or None))
    return list(found.values())


def devices(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Nodes and ids of disks."""
    from luxusb_cli.render import hardware

    none: Sequence[DeviceInfo] = ()
    found = _ask(context, lambda client: client.devices(), none)
    nodes = [(device.node, hardware(device)) for device in found]
    return _items([*nodes, *((device.id, device.node) for device in found)], incomplete)


def disks(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Nodes of disks, and files."""
    found = [item for item in devices(context, parameter, incomplete) if item.value.startswith("/dev/")]
    return [*found, CompletionItem(incomplete, type="file")]


def directories(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Directories, for what may also be an address."""
    return [CompletionItem(incomplete, type="dir")]


def device_ids(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of disks."""

    none: Sequence[DeviceInfo] = ()
    found = _ask(context, lambda client: client.devices(), none)
    return _items([(device.id, device.node) for device in found], incomplete)


def jobs(*, unfinished: bool) -> Completer:
    """Numbers of jobs."""

    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from luxusb_cli.model import JobInfo

        none: Sequence[JobInfo] = ()
        found = _ask(context, lambda client: client.jobs(unfinished=unfinished), none)
        return _items([(str(job.id), f"{job.about}, {job.state.value}") for job in found], incomplete)

    return complete


def stored_images(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names and references of stored images."""
    return _items(_stored(context), incomplete)


def distributions(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of distributions, with versions and editions behind an @ or /."""
    return _items(_catalogued(context, incomplete), incomplete)


def categories(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Categories of the catalogue."""
    return _items([(distro.category, "") for distro in _systems(context)], incomplete)


def families(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Families of the releases of the catalogue."""
    found = [(release.family, "") for distro in _systems(context) for release in distro.releases]
    return _items(found, incomplete)


def images(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Whatever IMAGE may be: a distribution, a stored image, or a file."""
    if incomplete.startswith(("/", ".", "~")):
        return [CompletionItem(incomplete, type="file")]
    found = distributions(context, parameter, incomplete)
    references = [(name, text) for name, text in _stored(context) if name.startswith("image:")]
    return [*found, *_items(references, incomplete), CompletionItem(incomplete, type="file")]


def _named(context: click.Context, devices: Sequence[DeviceInfo]) -> list[DeviceInfo]:
    """Those that --device names, or all of them."""
    wanted = context.params.get("device")
    return [
        device
        for device in devices
        if not wanted or wanted in {device.node, device.id, device.node.removeprefix("/dev/")}
    ]


def stick_images(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of images on the stick that --device names, or on all of them."""

    none: Sequence[DeviceInfo] = ()
    devices = _ask(context, lambda client: client.devices(), none)
    found = [(image.name, image.title) for device in _named(context, devices) for image in device.images]
    return _items(found, incomplete)


def changes(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of images on the stick, and of rooms for changes that belong to none."""

    none: Sequence[DeviceInfo] = ()
    devices = _ask(context, lambda client: client.devices(), none)
    stray = [(room.name, "") for device in _named(context, devices) for room in device.stray_changes]
    return [*stick_images(context, parameter, incomplete), *_items(stray, incomplete)]


def mirrors(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Hosts of the mirrors of the distribution that the line names, and their addresses once a host is there."""
    found = [(mirror.url, mirror.country) for mirror in _mirrors(context)]
    hosts = [("/".join(url.split("/", 3)[:3]) + "/", country) for url, country in found]
    return _items([*hosts, *(found if incomplete.count("/") >= 3 else [])], incomplete)


def countries(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Countries in which the distribution that the line names has mirrors; several with commas between them."""
    before, comma, last = incomplete.rpartition(",")
    others = {mirror.country for mirror in _mirrors(context) if mirror.country} - set(before.upper().split(","))
    fitting = sorted(country for country in others if country.startswith(last.upper()))
    return _items([(f"{before}{comma}{country}", "") for country in fitting], f"{before}{comma}")


def settings(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of settings, with an equals sign where a value follows."""
    none: dict[str, object] = {}
    found = _ask(context, lambda client: client.settings(), none)
    end = "" if context.params.get("reset") else "="
    return _items([(f"{key}{end}", str(value)) for key, value in sorted(found.items())], incomplete)


def _mirrors(context: click.Context) -> Sequence[MirrorState]:
    """The mirrors of the distribution that the line names; of the most popular one when it names none yet."""
    none: Sequence[MirrorState] = ()
    name = context.params.get("distro")

    async def ask(client: Client) -> Sequence[MirrorState]:
        wanted = name or next((distro.id for distro in await client.distributions()), "")
        return await client.mirrors(wanted) if wanted else ()

    return _ask(context, ask, none)


def _stored(context: click.Context) -> list[tuple[str, str]]:
    from luxusb_cli.images import ImageInfo

    none: Sequence[ImageInfo] = ()
    found = _ask(context, lambda client: client.images(), none)
    names = [(image.name, image.system) for image in found]
    return [*names, *((image.reference[: len("image:") + 12], image.name) for image in found)]


def _systems(context: click.Context) -> Sequence[DistroInfo]:
    from luxusb_cli import listcache

    none: Sequence[DistroInfo] = ()
    found = _ask(context, lambda client: client.distributions(), none)
    if not found:
        kept = listcache.load()
        found = kept.distributions if kept else ()
    return found


def _catalogued(context: click.Context, incomplete: str) -> list[tuple[str, str]]:
    found = _systems(context)
    if "@" not in incomplete and "/" not in incomplete:
        return [(distro.id, distro.name) for distro in found]
    pairs: list[tuple[str, str]] = []
    for distro in found:
        for release in distro.releases:
            edition = f"/{release.edition}" if release.edition else ""
            pairs += [(f"{distro.id}@{release.version}{edition}", distro.name), (f"{distro.id}{edition}", distro.name)]
    return pairs


class _Bash(BashComplete):
    """bash, which cuts words at : = and @, so that a reference is several words to it and one here."""

    source_template = """\
%(complete_func)s() {
    local type value
    COMPREPLY=()
    while IFS=',' read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_BREAKS="$COMP_WORDBREAKS" %(complete_var)s=bash_complete "$1")
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace; fi
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is being typed, and that one."""
        line = os.environ.get("COMP_LINE", "")
        words = split_arg_string(line)
        unfinished = words.pop() if words and not line[-1:].isspace() else ""
        return words[1:], unfinished

    def format_completion(self, item: CompletionItem) -> str:
        """What bash puts in the place of its last word."""
        _words, unfinished = self.get_completion_args()
        breaks = set(os.environ.get("COMP_BREAKS", "")) & set(":=@")
        cut = max((at + 1 for at, char in enumerate(unfinished) if char in breaks), default=0)
        return f"{item.type},{item.value[cut:] if item.type == 'plain' else item.value}"


def begin() -> None:
    """Prepare for being asked by a shell: bash in our own way, and nothing on its terminal."""
    add_completion_class(_Bash, "bash")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def script(shell: str, program: str = "luxusb") -> str:
    """The script that a shell reads to complete this command."""
    kinds: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": ZshComplete, "fish": FishComplete}
    made = kinds[shell](click.Command(program), {}, program, VARIABLE)
    return made.source_template % made.source_vars()
