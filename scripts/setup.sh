#!/bin/sh
# Installs what coffer's tests and demo need: system packages by apt-get or dnf, npm packages by npm.
# Quick when nothing is to be done.
set -eu
cd "$(dirname "$0")/.."

stamp=node_modules/.coffer-setup
state=$(cat scripts/setup.sh package-lock.json | cksum)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$state" ] && exit 0

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

install_packages() {
  if command -v apt-get >/dev/null; then
    packages='openssl tar gzip zstd bzip2 xz-utils pigz scrypt e2fsprogs rpm rpmlint lintian shellcheck
      busybox dash openssh-server rclone strace procps util-linux tmux time restic borgbackup systemd groff-base'
    missing=$(for package in $packages; do
      dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || echo "$package"
    done)
    [ -z "$missing" ] && return
    printf "setup: installing %s\n" "$missing"
    as_root apt-get update -qq
    # shellcheck disable=SC2086 # one word a package
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
  elif command -v dnf >/dev/null; then
    packages='openssl tar gzip zstd bzip2 xz pigz scrypt e2fsprogs rpm-build rpmlint ShellCheck busybox dash
      openssh-server rclone strace procps-ng util-linux tmux time restic borgbackup systemd groff-base dpkg'
    # shellcheck disable=SC2086 # one word a package
    rpm -q --quiet $packages || as_root dnf install -y -q $packages
  else
    echo 'setup: neither apt-get nor dnf is here: install the packages named in scripts/setup.sh' >&2
    exit 1
  fi
}

install_packages
npm ci --no-audit --no-fund --loglevel=error
echo "$state" > "$stamp"
