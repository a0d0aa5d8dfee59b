#!/usr/bin/env bash
# Sorts everything into the trees of the three binary packages. Called by debian/rules in the source directory.
# Usage: stage.sh DAEMON CLI APP MADE "NAMES OF WHEELS FOR THE CLI"; MADE has what the build wrote.
set -euo pipefail
. packaging/command-file.sh

daemon=$1 cli=$2 app=$3 made=$4 cli_wheels=$5
lib=/usr/lib/luxusb
python=/usr/bin/python3

put() { # mode, target, source
    mkdir -p "$(dirname "$2")"
    install -m "$1" "$3" "$2"
}

program() { # target, module
    mkdir -p "$(dirname "$1")"
    command_file "$python" "$lib" "$2" >"$1"
    chmod 755 "$1"
}

code() { # tree, package
    mkdir -p "$1$lib"
    cp -r --no-preserve=ownership "$2" "$1$lib/"
}

# ---- luxusbd ----------------------------------------------------------------------------------------------------
code "$daemon" luxusbd
mapfile -t others < <(sed -nE 's/^([a-z0-9-]+)==.*/\1/p' packaging/debian/wheels.lock | grep -vxF "${cli_wheels// /$'\n'}")
python3 packaging/wheels.py unpack wheels "$daemon$lib" "${others[@]}"
program "$daemon/usr/sbin/luxusbd" luxusbd.__main__
for child in transfer stick check; do program "$daemon/usr/libexec/luxusb-$child" "luxusbd.children.${child}_main"; done
share=$daemon/usr/share
mkdir -p "$share/luxusb"
cp -r --no-preserve=ownership data dbus "$share/luxusb/"
rm -rf "$share/luxusb/data/desktop" "$share/luxusb/dbus/org.luxusb.Manager."{conf,service}
units=$daemon/lib/systemd/system
for unit in systemd/*.service systemd/*.socket; do
    [[ $unit = */luxusb-catalog-update.* ]] || put 644 "$units/${unit##*/}" "$unit"
done
sed 's|^Exec=.*|Exec=/usr/sbin/luxusbd|' dbus/org.luxusb.Manager.service >"$made/activation"
put 644 "$share/dbus-1/system-services/org.luxusb.Manager.service" "$made/activation"
put 644 "$share/dbus-1/system.d/org.luxusb.Manager.conf" dbus/org.luxusb.Manager.conf
put 644 "$share/polkit-1/actions/org.luxusb.policy" polkit/org.luxusb.policy
put 644 "$share/doc/luxusbd/examples/50-luxusb.rules" polkit/50-luxusb.rules.example
put 644 "$daemon/usr/lib/udev/rules.d/90-luxusb.rules" systemd/90-luxusb.rules
put 644 "$daemon/usr/lib/sysusers.d/luxusb.conf" systemd/luxusb.sysusers
put 644 "$daemon/usr/lib/tmpfiles.d/luxusb.conf" systemd/luxusb.tmpfiles
put 644 "$share/man/man8/luxusbd.8" "$made/man/luxusbd.8"
put 644 "$share/man/man5/luxusbd.toml.5" "$made/man/luxusbd.toml.5"

# ---- luxusb-cli -------------------------------------------------------------------------------------------------
code "$cli" clients/luxusb_cli
# shellcheck disable=SC2086  # several names
python3 packaging/wheels.py unpack wheels "$cli$lib" $cli_wheels
program "$cli/usr/bin/luxusb" luxusb_cli.__main__
put 644 "$cli/usr/share/man/man1/luxusb.1" "$made/man/luxusb.1"
put 644 "$cli/usr/share/bash-completion/completions/luxusb" "$made/bash"
put 644 "$cli/usr/share/zsh/vendor-completions/_luxusb" "$made/zsh"
put 644 "$cli/usr/share/fish/vendor_completions.d/luxusb.fish" "$made/fish"
for unit in systemd/luxusb-catalog-update.*; do put 644 "$cli/lib/systemd/system/${unit##*/}" "$unit"; done

# ---- luxusb-gtk -------------------------------------------------------------------------------------------------
code "$app" clients/luxusb_gtk
program "$app/usr/bin/luxusb-gtk" luxusb_gtk.__main__
put 644 "$app/usr/share/man/man1/luxusb-gtk.1" "$made/man/luxusb-gtk.1"
id=org.luxusb.Luxusb
put 644 "$app/usr/share/applications/$id.desktop" "data/desktop/$id.desktop"
put 644 "$app/usr/share/metainfo/$id.metainfo.xml" "data/desktop/$id.metainfo.xml"
put 644 "$app/usr/share/icons/hicolor/scalable/apps/$id.svg" "data/desktop/$id.svg"
put 644 "$app/usr/share/icons/hicolor/symbolic/apps/$id-symbolic.svg" "data/desktop/$id-symbolic.svg"

for tree in "$daemon" "$cli" "$app"; do
    # when the system gets another Python
    hook=$tree/usr/share/python3/runtime.d/${tree##*/}.rtupdate
    mkdir -p "${hook%/*}"
    printf '#!/bin/sh\nset -e\n\n[ "$1" = rtupdate ] || exit 0\npy3clean -p %s\npy3compile -p %s %s\n' \
        "${tree##*/}" "${tree##*/}" "$lib" >"$hook"
    chmod 755 "$hook"
    find "$tree$lib" -name __pycache__ -prune -exec rm -rf {} +
    # a module that was a program in its maker's tree is one no more
    find "$tree$lib" -type f -exec chmod 644 {} +
done
