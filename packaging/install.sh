#!/usr/bin/env bash
# Installs the service and its clients, or removes exactly what it installed.
# Usage: packaging/install.sh install|uninstall DESTDIR PREFIX
# The Python packages and what they need from PyPI go into a directory of their own, so that nothing mixes with the
# system's Python (PEP 668). Files that D-Bus, polkit and systemd read only below /usr go there whatever PREFIX is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. packaging/command-file.sh

action=$1 destdir=${2%/} prefix=${3%/}
python=${PYTHON:-/usr/bin/python3}
lib=$prefix/lib/luxusb
manifest=$destdir$lib/.installed
log=()

enabled=(luxusb-resume.service luxusb-catalog-update.timer)

say() { printf '%s: %s\n' "$action" "$*"; }
die() { printf '%s: %s\n' "$action" "$*" >&2; exit 1; }

[[ $prefix = /* ]] || die "PREFIX has to be an absolute path, not '$prefix'"
[[ -z $destdir || $destdir = /* ]] || die "DESTDIR has to be an absolute path, not '$destdir'"

make_dir() { # records the directories that did not exist
    [[ -d $destdir$1 ]] && return
    [[ $1 = / ]] || make_dir "$(dirname "$1")"
    mkdir -p -m 755 -- "$destdir$1"
    log+=("d $1")
}

put() { # mode, target; the content comes from standard input, but never from a pipe: that would forget the log
    make_dir "$(dirname "$2")"
    install -m "$1" /dev/stdin "$destdir$2"
    log+=("f $2")
}

install_all() {
    [[ -w $destdir$prefix || -w $(dirname "$destdir$prefix") || -n $destdir ]] ||
        die "$prefix cannot be written; use sudo, or set PREFIX or DESTDIR"
    [[ -e $manifest ]] && { say "replacing an earlier installation"; uninstall_all; }
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    say "building, and fetching what pyproject.toml names"
    "$python" -m venv "$work/venv" || die "install the package python3-venv"
    "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile \
        --target "$work/lib" . || die "pip could not install; its message is above"
    rm -rf "$work/lib/bin"
    make_dir "$(dirname "$lib")"
    cp -r --no-preserve=ownership "$work/lib" "$destdir$lib"
    chmod -R u=rwX,go=rX "$destdir$lib"
    "$python" -m compileall -q -s "$destdir" "$destdir$lib"

    mkdir "$work/made"
    command_file "$python" "$lib" luxusbd.__main__ >"$work/made/luxusbd"
    put 755 "$prefix/sbin/luxusbd" <"$work/made/luxusbd"
    command_file "$python" "$lib" luxusb_cli.__main__ >"$work/made/luxusb"
    put 755 "$prefix/bin/luxusb" <"$work/made/luxusb"
    command_file "$python" "$lib" luxusb_gtk.__main__ >"$work/made/luxusb-gtk"
    put 755 "$prefix/bin/luxusb-gtk" <"$work/made/luxusb-gtk"
    local app=org.luxusb.Luxusb
    put 644 "$prefix/share/applications/$app.desktop" <"data/desktop/$app.desktop"
    put 644 "$prefix/share/metainfo/$app.metainfo.xml" <"data/desktop/$app.metainfo.xml"
    put 644 "$prefix/share/icons/hicolor/scalable/apps/$app.svg" <"data/desktop/$app.svg"
    put 644 "$prefix/share/icons/hicolor/symbolic/apps/$app-symbolic.svg" <"data/desktop/$app-symbolic.svg"
    command_file "$python" "$lib" luxusbd.children.transfer_main >"$work/made/transfer"
    put 755 "$prefix/libexec/luxusb-transfer" <"$work/made/transfer"
    command_file "$python" "$lib" luxusbd.children.stick_main >"$work/made/stick"
    put 755 "$prefix/libexec/luxusb-stick" <"$work/made/stick"
    command_file "$python" "$lib" luxusbd.children.check_main >"$work/made/check"
    put 755 "$prefix/libexec/luxusb-check" <"$work/made/check"
    daemon="s|/usr/s\?bin/luxusbd|$prefix/sbin/luxusbd|g; s|/usr/libexec/|$prefix/libexec/|g; s|/usr/bin/luxusb |$prefix/bin/luxusb |g"
    local unit
    for unit in systemd/*.service systemd/*.socket systemd/*.timer; do
        sed "$daemon" "$unit" >"$work/made/unit"
        put 644 "/usr/lib/systemd/system/${unit##*/}" <"$work/made/unit"
    done
    sed "$daemon" dbus/org.luxusb.Manager.service >"$work/made/activation"
    put 644 /usr/share/dbus-1/system-services/org.luxusb.Manager.service <"$work/made/activation"
    put 644 /usr/share/dbus-1/system.d/org.luxusb.Manager.conf <dbus/org.luxusb.Manager.conf
    put 644 /usr/share/polkit-1/actions/org.luxusb.policy <polkit/org.luxusb.policy
    put 644 /usr/lib/udev/rules.d/90-luxusb.rules <systemd/90-luxusb.rules
    put 644 "$prefix/share/doc/luxusb/50-luxusb.rules.example" <polkit/50-luxusb.rules.example
    put 644 /usr/lib/sysusers.d/luxusb.conf <systemd/luxusb.sysusers
    put 644 /usr/lib/tmpfiles.d/luxusb.conf <systemd/luxusb.tmpfiles
    built() { PYTHONPATH=$work/lib LC_ALL=C.UTF-8 "$work/venv/bin/python" "$@"; }
    built packaging/manpages.py "$work/man"
    for page in luxusb.1 luxusb-gtk.1 luxusbd.8 luxusbd.toml.5; do
        put 644 "$prefix/share/man/man${page##*.}/$page" <"$work/man/$page"
    done
    for shell in bash zsh fish; do built -m luxusb_cli completion $shell >"$work/made/$shell"; done
    put 644 "$prefix/share/bash-completion/completions/luxusb" <"$work/made/bash"
    put 644 "$prefix/share/zsh/site-functions/_luxusb" <"$work/made/zsh"
    put 644 "$prefix/share/fish/vendor_completions.d/luxusb.fish" <"$work/made/fish"
    printf '%s\n' "${log[@]}" >"$manifest"

    if [[ -z $destdir && -d /run/systemd/system ]]; then
        systemd-sysusers /usr/lib/sysusers.d/luxusb.conf
        systemd-tmpfiles --create /usr/lib/tmpfiles.d/luxusb.conf
        udevadm control --reload
        systemctl daemon-reload
        systemctl --quiet enable "${enabled[@]}"
        systemctl start luxusb-catalog-update.timer
        systemctl reload dbus
        say "done; D-Bus starts the service when it is first called: luxusb devices"
    else
        say "done, below ${destdir:-/}; on the machine itself, systemd-sysusers, systemd-tmpfiles --create and a reload of" \
            "dbus and systemd make it known"
    fi
}

uninstall_all() {
    [[ -f $manifest ]] || die "nothing is installed at $destdir$lib"
    if [[ -z $destdir && -d /run/systemd/system ]]; then
        systemctl --quiet disable --now "${enabled[@]}"
        systemctl stop luxusbd.service luxusb-transfer.socket luxusb-stick.socket luxusb-check.socket ||
            say "the service was not running"
    fi
    local entries kind path
    mapfile -t entries <"$manifest"
    rm -rf -- "$destdir$lib"
    for ((at = ${#entries[@]} - 1; at >= 0; at--)); do
        kind=${entries[at]%% *} path=$destdir${entries[at]#* }
        if [[ $kind = f ]]; then
            rm -f -- "$path"
        else
            rmdir --ignore-fail-on-non-empty -- "$path"
        fi
    done
    if [[ -z $destdir && -d /run/systemd/system ]]; then systemctl daemon-reload; fi
}

case $action in
    install) install_all ;;
    uninstall)
        uninstall_all
        say "done; jobs and images stay in /var/lib/luxusb, settings in /etc/luxusb, and so does the user luxusb"
        ;;
    *) die "unknown action" ;;
esac
