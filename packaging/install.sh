#!/usr/bin/env bash
# Installs the service and its clients, or removes exactly what it installed.
# Usage: packaging/install.sh install|uninstall DESTDIR PREFIX
# The Python packages and what they need from PyPI go into a directory of their own, so that nothing mixes with the
# system's Python (PEP 668). Files that D-Bus, polkit and systemd read only below /usr go there whatever PREFIX is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

action=$1 destdir=${2%/} prefix=${3%/}
python=${PYTHON:-/usr/bin/python3}
lib=$prefix/lib/luxusb
manifest=$destdir$lib/.installed
log=()

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

put() { # mode, target; the content comes from standard input, never through a pipe: that would lose the log
    make_dir "$(dirname "$2")"
    install -m "$1" /dev/stdin "$destdir$2"
    log+=("f $2")
}

command_file() { # module whose main() is called
    printf '#!%s -I\nimport sys\n\nsys.path.insert(0, "%s")\nfrom %s import main\n\nsys.exit(main())\n' \
        "$python" "$lib" "$1"
}

install_all() {
    [[ -w $destdir$prefix || -w $(dirname "$destdir$prefix") || -n $destdir ]] ||
        die "$prefix cannot be written; use sudo, or set PREFIX or DESTDIR"
    local file
    for file in systemd/luxusbd.service systemd/luxusb.sysusers systemd/luxusb.tmpfiles polkit/org.luxusb.policy \
        dbus/org.luxusb.Manager.service dbus/org.luxusb.Manager.conf; do
        [[ -r $file ]] || die "$file is missing in this checkout"
    done
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

    put 755 "$prefix/sbin/luxusbd" < <(command_file luxusbd.__main__)
    put 755 "$prefix/bin/luxusb" < <(command_file luxusb_cli.__main__)
    daemon="s|/usr/s\?bin/luxusbd|$prefix/sbin/luxusbd|g"
    put 644 /usr/lib/systemd/system/luxusbd.service < <(sed "$daemon" systemd/luxusbd.service)
    put 644 /usr/share/dbus-1/system-services/org.luxusb.Manager.service \
        < <(sed "$daemon" dbus/org.luxusb.Manager.service)
    put 644 /usr/share/dbus-1/system.d/org.luxusb.Manager.conf <dbus/org.luxusb.Manager.conf
    put 644 /usr/share/polkit-1/actions/org.luxusb.policy <polkit/org.luxusb.policy
    put 644 /usr/lib/sysusers.d/luxusb.conf <systemd/luxusb.sysusers
    put 644 /usr/lib/tmpfiles.d/luxusb.conf <systemd/luxusb.tmpfiles
    printf '%s\n' "${log[@]}" >"$manifest"

    if [[ -z $destdir && -d /run/systemd/system ]]; then
        systemd-sysusers /usr/lib/sysusers.d/luxusb.conf
        systemd-tmpfiles --create /usr/lib/tmpfiles.d/luxusb.conf
        systemctl daemon-reload
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
        systemctl stop luxusbd.service || say "luxusbd.service was not running"
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
