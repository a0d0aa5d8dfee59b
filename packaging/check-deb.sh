#!/usr/bin/env bash
# Builds the packages twice, the second time as if by somebody else elsewhere, compares the bytes, and asks lintian.
# Usage: packaging/check-deb.sh OUTPUT
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

output=${1:?where to put the packages}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$output"
packaging/deb.sh "$output"
(umask 077 && TMPDIR=$work HOME=$work USER=other TZ=Pacific/Kiritimati LANG=C LANGUAGE=de packaging/deb.sh "$work/again" >/dev/null)
for package in "$output"/*.deb; do
    cmp "$package" "$work/again/${package##*/}" || { echo "deb: ${package##*/} is not the same when it is built again" >&2; exit 1; }
done
echo "deb: built twice, the same bytes"
lintian --fail-on error,warning --tag-display-limit 0 "$output"/*.changes
echo "deb: lintian has nothing to say"
