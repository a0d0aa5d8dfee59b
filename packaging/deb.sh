#!/usr/bin/env bash
# Builds the Debian packages into a directory.
# Usage: packaging/deb.sh OUTPUT [VERSION]; a VERSION other than the changelog's gets an entry of its own in the copy that is
# built. Beside what pip fetches when a wheel is not in build/deb/wheels yet, nothing is taken from a network.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'deb: %s\n' "$*"; }
die() { printf 'deb: %s\n' "$*" >&2; exit 1; }

output=${1:?where to put the packages} version=${2:-}
wheels=build/deb/wheels
parts=(luxusbd clients data dbus polkit systemd packaging LICENSE CHANGELOG.md pyproject.toml)

# When everything says the same time and has the same owner, the same source gives the same bytes.
umask 022
mkdir -p "$wheels" "$output"
"${PYTHON:-.venv/bin/python}" packaging/wheels.py fetch "$wheels" || die "the Python packages could not be fetched; the message is above"
output=$(realpath "$output")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
source=$work/luxusb
mkdir "$source"
cp -r --no-preserve=ownership "${parts[@]}" "$source/"
mkdir "$source/wheels"
cp "$wheels"/*.whl "$source/wheels/"
cp -r packaging/debian "$source/debian"
find "$source" -name __pycache__ -prune -exec rm -rf {} +
chmod -R u=rwX,go=rX "$source"

changelog=$source/debian/changelog
if [[ -n $version && $version != "$(dpkg-parsechangelog -l "$changelog" -S Version)" ]]; then
    {
        printf 'luxusb (%s) unstable; urgency=medium\n\n  * Built as %s.\n\n -- %s  %s\n\n' "$version" "$version" \
            "$(dpkg-parsechangelog -l "$changelog" -S Maintainer)" "$(dpkg-parsechangelog -l "$changelog" -S Date)"
        cat packaging/debian/changelog
    } >"$changelog"
fi
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -l "$changelog" -S Timestamp)
export SOURCE_DATE_EPOCH

log=$output/build.log
(cd "$source" && env -u PYTHONPATH -u MAKEFLAGS -u MAKELEVEL PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    dpkg-buildpackage --build=binary --no-sign) >"$log" 2>&1 || { tail -n 40 "$log" >&2; die "the build failed; all of it is in $log"; }
cp "$work"/*.deb "$work"/*.changes "$work"/*.buildinfo "$output/"
for file in "$output"/*"_$(dpkg-parsechangelog -l "$changelog" -S Version)_"*.deb; do say "$file"; done
