#!/usr/bin/env bash
# Tests on SLURM clusters of their own, two at once, within 15 minutes, and nothing left behind.
# Where SLURM is not there and cannot be installed it says so, and ends well but with CI=true.
set -uo pipefail
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python3}
packages=(munge slurmctld slurmd slurm-client slurm-wlm-basic-plugins)

missing() { "$PYTHON" -c 'import sys; sys.path.insert(0, "tests"); from slurm.cluster import missing_programs
print(*missing_programs())'; }

if [ -n "$(missing)" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        echo "installing ${packages[*]}"
        timeout -s KILL 1200 sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"' sh \
            "${packages[@]}" >/dev/null 2>&1
    fi
    left=$(missing)
    if [ -n "$left" ]; then
        echo "skipped: tests on a SLURM cluster need $left (Debian: apt-get install ${packages[*]}, as root)"
        [ "${CI:-}" != true ] || { echo "failed: with CI=true they may not be left out" >&2; exit 1; }
        exit 0
    fi
fi

folder=$(mktemp -d -t fovflow-slurm-XXXXXX)
FOVFLOW_TEST_SLURM=1 FOVFLOW_TEST_SLURM_FOLDER=$folder \
    timeout -s KILL 900 "$PYTHON" -m pytest -p no:cacheprovider -n 2 --dist loadfile tests/slurm "$@"
status=$?
[ $status = 137 ] && echo "tests on a SLURM cluster: ended, 15 minutes are over"
"$PYTHON" tests/slurm/cluster.py "$folder"  # what a time-out has left
exit $status
