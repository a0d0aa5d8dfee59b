"""Distributions for people: the list of them, one in detail, and what a mistyped search may have meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from luxusb_cli.catalog import OWN, DistroInfo, ReleaseInfo
from luxusb_cli.i18n import N_, _
from luxusb_cli.render import badge, badged, custom_badge, fields, say, size_or_unknown, table
from luxusb_cli.text import similar

EDITIONS_SHOWN = 4
_TRUST = {
    "signed": N_("signed by its maker"),
    "hash": N_("checked against a known hash"),
    "tls-only": N_("only as sure as the connection to its mirror"),
}
_SECURE_BOOT = {"yes": N_("yes"), "no": N_("no")}
_ENDED_STYLE = "yellow"


def print_systems(found: Sequence[DistroInfo]) -> None:
    """A line for each distribution, with its editions and, where there is something to say, a note."""
    headers = [_("ID"), _("NAME"), _("NEWEST"), _("EDITIONS"), _("SIZE"), _("TRUST"), _("CATEGORY"), _("NOTE")]
    rows = [_row(distro) for distro in found]
    styles = [_ENDED_STYLE if _over(distro.releases) else "" for distro in found]
    _table(headers, rows, styles, _("EDITIONS"), _("NOTE"))


def _row(distro: DistroInfo) -> list[str]:
    newest = distro.releases[0] if distro.releases else None
    name = badged(distro.name, custom=distro.origin == OWN)
    if newest is None:
        return [distro.id, name, "-", "", "-", "", distro.category, ""]
    return [
        distro.id,
        name,
        newest.version,
        _editions(distro.releases),
        size_or_unknown(newest.size),
        badge(newest.trust),
        distro.category,
        _note(distro.releases),
    ]


def _editions(releases: Sequence[ReleaseInfo]) -> str:
    """Each edition once, those of the newest version first, and architectures but the usual one."""
    named = dict.fromkeys(
        " ".join(filter(None, (release.edition, "" if release.architecture == "amd64" else release.architecture)))
        for release in releases
    )
    names = [name for name in named if name]
    more = [f"+{len(names) - EDITIONS_SHOWN}"] if len(names) > EDITIONS_SHOWN else []
    return ", ".join([*names[:EDITIONS_SHOWN], *more])


def _over(releases: Sequence[ReleaseInfo]) -> bool:
    return bool(releases) and all(release.ended for release in releases)


def _note(releases: Sequence[ReleaseInfo]) -> str:
    if _over(releases):
        return _("end of life since {date}").format(date=max(release.end_of_life for release in releases))
    if all(release.fits == "unknown" for release in releases):
        return _("whether it fits is not known")
    return ""


def print_system(distro: DistroInfo) -> None:
    """What is known of one distribution, its releases below their versions."""
    say(badged(distro.name or distro.id, custom=distro.origin == OWN), "bold")
    if distro.description:
        say(distro.description)
    fields(
        [
            (_("id"), distro.id),
            (_("homepage"), distro.homepage),
            (_("category"), distro.category),
            (_("family"), ", ".join(dict.fromkeys(release.family for release in distro.releases if release.family))),
            (_("listed by"), distro.origin),
        ]
    )
    print()
    headers = [
        *(_("REFERENCE"), _("RELEASED"), _("ARCHITECTURE"), _("SIZE"), _("CHECKED"), _("SECURE BOOT")),
        *(_("END OF LIFE"), _("MIRRORS")),
    ]
    rows: list[list[str]] = []
    styles: list[str] = []
    for version in dict.fromkeys(release.version for release in distro.releases):
        group = [release for release in distro.releases if release.version == version]
        over = _over(group)
        rows.append([version, *[""] * 5, _note(group) if over else "", ""])
        styles.append(f"bold {_ENDED_STYLE}" if over else "bold")
        for release in sorted(group, key=lambda release: (release.edition, release.architecture)):
            rows.append(_release(distro, release))
            styles.append(_ENDED_STYLE if release.ended else "")
    _table(headers, rows, styles, _("RELEASED"), _("END OF LIFE"), _("MIRRORS"))


def _release(distro: DistroInfo, release: ReleaseInfo) -> list[str]:
    reference = f"{distro.id}@{release.version}" + (f"/{release.edition}" if release.edition else "")
    return [
        f"  {reference}",
        release.release_date,
        release.architecture,
        size_or_unknown(release.size),
        " ".join(filter(None, _checked(release))),
        _(_SECURE_BOOT[release.secure_boot]) if release.secure_boot in _SECURE_BOOT else _("not known"),
        release.end_of_life,
        str(len(release.mirrors)) if release.mirrors else "",
    ]


def _checked(release: ReleaseInfo) -> Iterator[str]:
    yield badge(release.trust)
    yield custom_badge(release.origin == OWN)
    yield _(_TRUST[release.trust]) if release.trust in _TRUST else ""


def _table(headers: list[str], rows: Sequence[list[str]], styles: Sequence[str], *optional: str) -> None:
    """A table without those of the `optional` columns in which nothing stands."""
    kept = [at for at, header in enumerate(headers) if header not in optional or any(row[at] for row in rows)]
    table([headers[at] for at in kept], [[row[at] for at in kept] for row in rows], styles)


def suggestions(text: str, distributions: Sequence[DistroInfo]) -> list[str]:
    """Ids of up to three distributions whose id or name looks like `text`, best first."""
    ids: dict[str, str] = {}
    for distro in distributions:
        ids.setdefault(distro.id.casefold(), distro.id)
        ids.setdefault(distro.name.casefold(), distro.id)
    return list(dict.fromkeys(ids[name.casefold()] for name in similar(text, ids)))
