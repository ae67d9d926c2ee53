#!/bin/sh
# setup.sh [build|demo|test|bench|package|thin|zfs]: installs only what is missing for this purpose: npm packages with
# npm, and programs with apt-get or dnf. A service in such a package (openssh-server) is neither started nor enabled.
# Quick if nothing is missing.
set -eu
cd "$(dirname "$0")/.."

purpose=${1:-test}

# A program, and its packages in Debian and Fedora. GNU tar, coreutils and the like are on every machine.
demo='
gzip gzip gzip
zstd zstd zstd
mkfs.ext4 e2fsprogs e2fsprogs'
package='
rpmbuild rpm rpm-build
dpkg-deb dpkg dpkg
git git git'
test="$demo $package
openssl openssl openssl
bzip2 bzip2 bzip2
xz xz-utils xz
pigz pigz pigz
lz4 lz4 lz4
lzop lzop lzop
scrypt scrypt scrypt
busybox busybox busybox
dash dash dash
mawk mawk mawk
gawk gawk gawk
tmux tmux tmux
rclone rclone rclone
sshd openssh-server openssh-server
ssh-keygen openssh-client openssh-clients
script bsdutils util-linux
setpriv util-linux util-linux
ps procps procps-ng
strace strace strace
systemctl systemd systemd
groff groff-base groff-base
shellcheck shellcheck ShellCheck
zsh zsh zsh
fish fish fish
rpmlint rpmlint rpmlint
lintian lintian lintian
gjs gjs gjs
Gtk-3.0.typelib gir1.2-gtk-3.0 gtk3
Atspi-2.0.typelib gir1.2-atspi-2.0 at-spi2-core
/usr/libexec/at-spi-bus-launcher at-spi2-core at-spi2-core
dbus-run-session dbus-daemon dbus-daemon
xvfb-run xvfb xorg-x11-server-Xvfb
xauth xauth xorg-x11-xauth"
bench="$demo
openssl openssl openssl
restic restic restic
borg borgbackup borgbackup
mkfs.xfs xfsprogs xfsprogs
mkfs.btrfs btrfs-progs btrfs-progs
filefrag e2fsprogs e2fsprogs"

machine='
qemu-system-x86_64 qemu-system-x86 qemu-system-x86-core
vmlinuz linux-image-amd64 kernel-core
modprobe kmod kmod
busybox busybox busybox
cpio cpio cpio'
thin="$machine
lvm lvm2 lvm2
dmsetup dmsetup device-mapper
thin_dump thin-provisioning-tools device-mapper-persistent-data
mkfs.xfs xfsprogs xfsprogs
mkfs.btrfs btrfs-progs btrfs-progs
filefrag e2fsprogs e2fsprogs"
# ZFS itself is not in Debian's main section, so tools/pools/zfs.sh builds it.
zfs="$machine
gcc gcc gcc
make make make
dpkg-deb dpkg dpkg
udevadm udev systemd-udev
libelf.so.1 libelf1 elfutils-libelf"

case $purpose in
build) programs='' ;;
demo) programs=$demo ;;
test) programs=$test ;;
bench) programs=$bench ;;
package) programs=$package ;;
thin) programs=$thin ;;
zfs) programs=$zfs ;;
*) echo "setup: there is no purpose $purpose: it is build, demo, test, bench, package, thin or zfs" >&2 && exit 2 ;;
esac

fail() {
  echo "setup: $*" >&2
  exit 1
}

# Whether a program, a library or a kernel is installed.
is_there() {
  case $1 in
  *.typelib | *.so.*) [ -n "$(find /usr/lib /usr/lib64 -name "$1" 2>/dev/null)" ] ;;
  vmlinuz) [ -n "$(find /boot -name 'vmlinuz-*')" ] ;;
  *) command -v "$1" >/dev/null ;;
  esac
}

# The packages of the missing programs, in one line.
missing_packages() {
  # A user's PATH may lack the directories of the system's programs.
  PATH=$PATH:/usr/sbin:/sbin
  echo "$programs" | while read -r program debian fedora; do
    [ -z "$program" ] || is_there "$program" && continue
    if [ "$installer" = apt-get ]; then echo "$debian"; else echo "$fedora"; fi
  done | sort -u | paste -sd ' ' -
}

install_packages() {
  installer=$(command -v apt-get || command -v dnf || echo none)
  installer=${installer##*/}
  packages=$(missing_packages)
  [ -z "$packages" ] && return
  [ "$installer" != none ] || fail "install these first, for neither apt-get nor dnf is here: $packages"
  root=
  if [ "$(id -u)" != 0 ]; then
    root=sudo
    command -v sudo >/dev/null ||
      fail "as root, run '$installer install $packages' first: you are not root, and there is no sudo here"
  fi
  echo "setup: installing $packages"
  forbid_services
  # shellcheck disable=SC2086 # one word a package
  case $installer in
  apt-get)
    $root apt-get update -qq
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages
    ;;
  dnf) $root dnf install -y -q --setopt=install_weak_deps=False $packages ;;
  esac
  $allow_services
  case " $packages " in
  *' openssh-server '*)
    for unit in ssh.service ssh.socket sshd.service; do
      $root systemctl --quiet disable "$unit" 2>/dev/null || :
    done
    ;;
  esac
}

# Debian starts the services that it installs, unless policy-rc.d forbids it. If there already is one, it is kept.
forbid_services() {
  policy=/usr/sbin/policy-rc.d
  allow_services=:
  [ "$installer" = apt-get ] && [ ! -e "$policy" ] || return 0
  allow_services="$root rm -f $policy"
  # shellcheck disable=SC2064 # what it is now
  trap "$allow_services" EXIT
  printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
  $root chmod 755 "$policy"
}

install_npm_packages() {
  stamp=node_modules/.coffer-setup
  state=$(cksum < package-lock.json)
  [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$state" ] && return
  npm ci --prefer-offline --no-audit --no-fund --loglevel=error
  echo "$state" > "$stamp"
}

node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' ||
  fail "coffer is built with Node.js 20 or newer: $(command -v node) is $(node --version)"
install_packages
install_npm_packages
