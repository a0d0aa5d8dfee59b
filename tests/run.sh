#!/usr/bin/env bash
# All tests in four groups: fast ones, those that kill processes, beside them those that boot sticks in virtual machines, and,
# as root, a part of those that drive the installed service in a virtual machine (`make test-vm` runs all). Called by
# `make test`; PYTEST_ARGS is handed on to every group.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
logs=build/test
mkdir -p "$logs"
rm -f "$logs"/*.log

# The tests start thousands of processes, and those that serve the daemon are told to write no bytecode: without this each of
# them would compile all that it imports, which is the half of what a start of the daemon costs.
unset PYTHONDONTWRITEBYTECODE
.venv/bin/python -m compileall -q luxusbd clients tests

filter=
# What one test unmounts has to go from the namespaces that another one's daemon has made meanwhile, as it does under systemd,
# where / is shared; and none of it is the machine's business.
apart=(unshare --mount --propagation slave sh -c 'mount --make-rshared / && exec "$@"' sh)
if [[ $(id -u) != 0 ]]; then
    filter=' and not root'
    apart=()
    echo "test: not root, so the tests marked 'root' (loop devices, mounts) are left out; 'sudo make test' runs them too"
fi

# these wait a third of the time for their daemons, so that three keep two cores busy; a virtual machine fills a core by itself
# and has times to keep
cores=$(nproc)
# who has nothing left takes from the others: shared daemons stay shared, and no one is alone at the end
together="-n $((cores * 3 / 2 < 4 ? (cores * 3 + 1) / 2 : 4)) --dist worksteal"

tests() { # marker expression, further arguments; instead of a shell of its own
    # shellcheck disable=SC2086  # several arguments
    exec "${apart[@]}" env --default-signal=INT .venv/bin/python -m pytest -m "($1)$filter" ${2:-} ${PYTEST_ARGS:-}
}

ended() { # name, its exit status
    [[ $2 != 0 ]] || return 0
    echo "test: the group '$1' failed; its output is in $logs/$1.log" >&2
    exit "$2"
}

group() { # name, marker expression, further arguments
    local status=0
    echo "test: $1 ($2$filter)"
    (tests "$2" "${3:-}") 2>&1 | tee "$logs/$1.log" || status=$?
    ended "$1" "$status"
}

beside=
trap '[[ -z $beside ]] || { kill -INT "$beside" && wait "$beside"; } 2>/dev/null || true' EXIT

group fast 'not boot and not chaos and not vm' "$together"

# One after the other, each would leave a core idle: the boots are one virtual machine at a time, the others one daemon.
echo "test: boot (boot$filter), beside the next group; its output follows"
tests boot >"$logs/boot.log" 2>&1 &
beside=$!
group chaos 'chaos and not boot'
status=0
wait "$beside" || status=$?
beside=
cat "$logs/boot.log"
ended boot "$status"

# making the machine's disk takes debootstrap, which takes root
[[ $(id -u) != 0 ]] || group vm 'vm and not campaign'
