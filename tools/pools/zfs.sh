#!/bin/sh
# zfs.sh DIRECTORY RELEASE: builds in DIRECTORY what `npm run test:zfs` needs of ZFS, for the kernel RELEASE.
# Debian has ZFS in its section `contrib`, with the kernel's modules as source. The packages are only unpacked in
# DIRECTORY: nothing is installed, and apt uses separate lists. Quick if everything is there; building takes minutes.
set -eu
directory=$1
release=$2
[ -f "$directory/ready" ] && exit

fail() {
  echo "test:zfs: $*" >&2
  exit 1
}

command -v apt-get >/dev/null || fail "ZFS is built from Debian's packages, and this is no Debian"
rm -rf -- "$directory"
mkdir -p "$directory/apt/lists/partial" "$directory/apt/archives/partial" "$directory/packages"
cd "$directory"

# The archives that this machine uses, with the section contrib.
apt-get indextargets --format "\$(ORIGIN) \$(REPO_URI) \$(RELEASE)" 'Created-By: Packages' |
  sed -n 's/^Debian \(.*\)/deb \1 main contrib/p' | sort -u > apt/sources
[ -s apt/sources ] || fail "ZFS is built from Debian's packages, and apt knows no archive of Debian here"

with_own_lists() {
  program=$1
  shift
  "$program" -q=2 -o Dir::Etc::sourcelist="$directory/apt/sources" -o Dir::Etc::sourceparts=- \
    -o Dir::State::lists="$directory/apt/lists" -o Dir::Cache="$directory/apt" -o APT::Sandbox::User=root "$@"
}
download() {
  (cd packages && with_own_lists apt-get download "$@")
}
depends_on() {
  with_own_lists apt-cache depends --important "$1" | sed -n "s/.*Depends: \($2\)$/\1/p"
}

echo "test:zfs: building ZFS for Linux $release, which takes 7 minutes of processor time"
with_own_lists apt-get update || fail "Debian's lists of packages could not be downloaded"
# shellcheck disable=SC2046 # one word a package
download zfs-dkms zfsutils-linux $(depends_on zfsutils-linux 'lib\(zfs\|zpool\|nvpair\|uutil\).*') ||
  fail "ZFS' packages could not be downloaded from Debian's section contrib"
# shellcheck disable=SC2046
download "linux-headers-$release" $(depends_on "linux-headers-$release" 'linux-\(headers\|kbuild\)-.*') ||
  fail "Debian has no headers for Linux $release (any more): install its newest kernel"
for package in packages/*.deb; do dpkg-deb --extract "$package" root; done
# The headers refer to each other by the paths where they would be installed.
sed -i "s#/usr/src#$directory/root/usr/src#" "root/usr/src/linux-headers-$release/Makefile"

headers=$directory/root/usr/src/linux-headers-$release
(
  cd root/usr/src/zfs-*
  ./configure --with-config=kernel --with-linux="${headers%-*}-common" --with-linux-obj="$headers"
  nice make -j"$(nproc)"
) > build.log 2>&1 || fail "ZFS could not be built: see $directory/build.log"

mkdir modules libraries
find root/usr/src -name '*.ko' -exec cp {} modules/ \;
strip --strip-debug modules/*.ko
find root/lib root/usr/lib -name '*.so.*' -exec cp -a {} libraries/ \;
mv root/sbin programs
mv root/lib/udev udev
rm -rf root apt packages build.log
touch ready
