#!/usr/bin/env bash
# The table of README.md and docs/performance.md, anew: the ceiling, maildirq, the design of 2011, and a process for
# each mail; on tmpfs, on a journalled ext4, and in a folder of your choice.
#
#   benches/compare.sh [--folder FOLDER] [ARGUMENT OF THE BENCHMARK...]      # --quick, --rounds 3, --help, ...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=
if [[ ${1-} == --folder ]]; then
    folder=${2?--folder needs a folder}
    shift 2
fi

measure() {
    printf '\n==> %s\n' "$1"
    cargo bench --quiet --bench drain -- --dir "$2" "${@:3}"
}

# A file system with a journal, in a file that lies in memory: what the file system costs, without a disk. A subshell,
# so that its trap takes it away however it ends.
ext4() (
    home=$(mktemp -d -p /dev/shm)
    trap 'umount "$home/mount" 2>/dev/null || true; rm -rf --one-file-system "$home"' EXIT
    truncate -s 6G "$home/image"
    mkfs.ext4 -q -F -N 1000000 "$home/image"
    mkdir "$home/mount"
    mount -o loop "$home/image" "$home/mount"
    measure 'ext4 with a journal, in memory' "$home/mount" "$@"
)

if [[ -w /dev/shm ]]; then
    measure 'tmpfs' /dev/shm "$@"
else
    printf '\n==> SKIPPED, tmpfs: /dev/shm cannot be written to\n'
fi
if ((EUID != 0)); then
    printf '\n==> SKIPPED, ext4: only root can mount\n'
elif [[ ! -w /dev/shm ]] || ! command -v mkfs.ext4 >/dev/null; then
    printf '\n==> SKIPPED, ext4: it needs /dev/shm and mkfs.ext4\n'
else
    ext4 "$@"
fi
if [[ -n $folder ]]; then
    measure "$folder" "$folder" "$@"
else
    printf '\n==> SKIPPED, a folder of yours: --folder names it\n'
fi
