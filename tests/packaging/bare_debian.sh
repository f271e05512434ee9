#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bare_debian.sh [--keep] [command…]: a fresh clone in a bare Debian 12 root, and in it ./dev demo and
# ./dev test, twice the first. It shows that no install step is missing, and how long each takes.
#   Needs  root, debootstrap; takes mirror, keys, proxies and pip's settings from this machine.
#   Owns   one directory under TMPDIR with its mounts, removed at the end (--keep leaves the root).
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)

say() { printf '▸ bare: %s\n' "$*" >&2; }
die() { printf 'bare_debian.sh: %s\n' "$*" >&2; exit 1; }

keep=
if [ "${1-}" = --keep ]; then keep=1; shift; fi
[ "$(id -u)" = 0 ] || die 'debootstrap and chroot need root: sudo ./dev bare'
command -v debootstrap >/dev/null || die 'debootstrap is missing: Debian package debootstrap'

# The first Debian archive that apt uses here, in either of its two formats.
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(ORIGIN)' 'Created-By: Packages' |
  awk '$2 == "bookworm" { print $1; exit }')
[ -n "$mirror" ] || die 'apt has no source for bookworm here; run apt-get update, or add one'

root=$(mktemp -d "${TMPDIR:-/tmp}/otlpshm-bare-XXXXXX")
mounted=()

clean_up() {
  local at
  for ((at = ${#mounted[@]} - 1; at >= 0; at--)); do umount -l "${mounted[at]}" || true; done
  if findmnt -rno TARGET | grep -q "^$root/"; then
    say "still mounted below $root; not removing it"
  elif [ "$keep" ]; then
    say "kept $root"
  else
    rm -rf "$root"
  fi
}
trap clean_up EXIT
trap 'exit 130' INT TERM

mount_at() { # mount_at TARGET ARGUMENT…
  mkdir -p "$root$1"
  mount "${@:2}" "$root$1"
  mounted+=("$root$1")
}

say "debootstrap --variant=minbase bookworm (as apt has it here)"
SECONDS=0
debootstrap --variant=minbase bookworm "$root" "$mirror" >"$root.log" 2>&1 ||
  { tail -n 20 "$root.log" >&2; die 'debootstrap failed'; }
rm -f "$root.log"
chmod 755 "$root" # mktemp's 0700 would be the mode of "/" in there: the tests' other users need to pass
say "a bare root after $SECONDS s"

mount_at /proc -t proc proc
mount_at /sys -o ro,bind /sys
mount_at /dev -t tmpfs -o mode=755 tmpfs
for device in null zero full random urandom tty; do
  touch "$root/dev/$device"
  mount_at_device=$root/dev/$device
  mount --bind "/dev/$device" "$mount_at_device"
  mounted+=("$mount_at_device")
done
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
mount_at /dev/shm -t tmpfs -o mode=1777 tmpfs
mount_at /tmp -t tmpfs -o mode=1777 tmpfs

# How this machine reaches the world: names, certificates, apt's and pip's settings. Nothing else.
copy() {
  local path
  for path in "$@"; do
    [ -e "$path" ] || continue
    mkdir -p "$root$(dirname "$path")"
    cp -aL "$path" "$root$path"
  done
}
copy /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/ssl/certs /usr/local/share/ca-certificates
copy /etc/apt/apt.conf.d /etc/apt/auth.conf.d /usr/share/keyrings
rm -f "$root"/etc/apt/apt.conf.d/20packagekit "$root"/etc/apt/apt.conf.d/50appstream
if [ -d "${PIP_FIND_LINKS:-}" ]; then copy "$PIP_FIND_LINKS"; fi
rm -f "$root/etc/apt/sources.list"
for source in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
  if [ -f "$source" ] && grep -q bookworm "$source" && grep -qF "${mirror%/}" "$source"; then
    copy "$source"
  fi
done
environment=(HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin)
while IFS= read -r variable; do environment+=("$variable"); done < <(
  env | grep -Ei '^(https?_proxy|no_proxy|pip_[a-z_]*|ssl_cert_(file|dir)|requests_ca_bundle)=' || true
)

say 'a fresh clone of what is committed'
git clone -q --no-local "$here" "$root/otlpshm"

inside() {
  SECONDS=0
  say "$ $*"
  env -i "${environment[@]}" chroot "$root" sh -c 'cd /otlpshm && exec "$@"' sh "$@" </dev/null ||
    die "failed after $SECONDS s: $*"
  say "$SECONDS s: $*"
}

if (($#)); then
  inside "$@"
else
  inside ./dev demo
  inside ./dev demo
  inside ./dev test
fi
say 'passed'
