#!/bin/sh
# Puts the files of one package where they belong below DESTDIR: stage.sh dom0|gui|vm|vm-prune DESTDIR.
# Both the RPMs and the Debian packages are made from the result. dist/ must have been built before.
set -eu
package=$1
destdir=$2
cd "$(dirname "$0")/.."

# place MODE SOURCE TARGET
place() {
  install -D -m "$1" "$2" "$destdir$3"
}

# program NAME VERSIONS [SCRIPT]: the program itself, and the command that starts it after running SCRIPT
program() {
  # Only the launcher starts it, so it needs no #! line.
  sed '1{/^#!/d}' "dist/$1" > "dist/$1.staged"
  place 644 "dist/$1.staged" "/usr/share/coffer/$1"
  sed "s/@PROGRAM@/$1/g; s/@VERSIONS@/$2/; /^@START@\$/{
    r ${3:-/dev/null}
    d
  }" rpm/launcher.sh > "dist/$1.staged"
  place 755 "dist/$1.staged" "/usr/bin/$1"
  rm "dist/$1.staged"
}

manual() {
  gzip -9n < "dist/man/$1" > "dist/man/$1.gz"
  place 644 "dist/man/$1.gz" "/usr/share/man/man1/$1.gz"
}

# services NAME…: qrexec services of the VM agent
services() {
  for service in "$@"; do
    place 755 "rpm/qubes-rpc/coffer.$service" "/etc/qubes-rpc/coffer.$service"
    place 644 rpm/rpc-config "/etc/qubes/rpc-config/coffer.$service"
  done
}

documents() {
  doc=/usr/share/doc/qubes-coffer-$package
  for document in "$@"; do place 644 "$document" "$doc/$(basename "$document")"; done
}

case $package in
dom0)
  program coffer '24 22 20' tools/build/start.sh
  for page in dist/man/coffer*.1; do
    case $page in
    */coffer-vm-agent.1) ;;
    *) manual "$(basename "$page")" ;;
    esac
  done
  place 644 dist/completion/coffer.bash /usr/share/bash-completion/completions/coffer
  place 644 dist/completion/coffer.zsh /usr/share/zsh/site-functions/_coffer
  place 644 dist/completion/coffer.fish /usr/share/fish/vendor_completions.d/coffer.fish
  place 644 rpm/50-coffer.policy /etc/qubes/policy.d/50-coffer.policy
  install -d -m 755 "$destdir/etc/qubes/coffer.d"
  place 644 rpm/systemd/coffer-backup@.service /usr/lib/systemd/system/coffer-backup@.service
  place 644 rpm/systemd/coffer-backup@.timer /usr/lib/systemd/system/coffer-backup@.timer
  place 644 rpm/systemd/coffer-failure@.service /usr/lib/systemd/system/coffer-failure@.service
  place 755 rpm/notify-failure /usr/share/coffer/notify-failure
  for unit in service timer; do
    place 644 "rpm/systemd-user/coffer-status.$unit" "/usr/lib/systemd/user/coffer-status.$unit"
  done
  documents README.md CHANGELOG.md SECURITY.md rpm/example-profile.conf
  # In the same places as in the sources, and all in one package, so that links between them work.
  for document in docs/*.md docs/pictures/*.png; do place 644 "$document" "$doc/$document"; done
  place 755 recover.sh /usr/share/coffer/recover.sh
  place 755 coffer-gc.sh /usr/share/coffer/coffer-gc.sh
  ;;
vm)
  program coffer-vm-agent '24 22 20 18'
  manual coffer-vm-agent.1
  place 755 rpm/vm-service /usr/share/coffer/vm-service
  for command in coffer-rclone coffer-ssh; do
    place 755 "vm-agent/through/$command" "/usr/share/coffer/through/$command"
  done
  services Store Fetch Browse
  documents CHANGELOG.md
  ;;
gui)
  place 755 dist/coffer-gui /usr/bin/coffer-gui
  place 644 dist/locale/de/LC_MESSAGES/coffer.mo /usr/share/locale/de/LC_MESSAGES/coffer.mo
  for name in backup restore; do
    place 644 "rpm/desktop/org.qubes_os.coffer.$name.desktop" \
      "/usr/share/applications/org.qubes_os.coffer.$name.desktop"
  done
  place 644 rpm/desktop/org.qubes_os.coffer.watch.desktop \
    /etc/xdg/autostart/org.qubes_os.coffer.watch.desktop
  place 644 rpm/desktop/org.qubes_os.coffer.metainfo.xml \
    /usr/share/metainfo/org.qubes_os.coffer.metainfo.xml
  place 644 rpm/desktop/qubes-coffer.svg /usr/share/icons/hicolor/scalable/apps/qubes-coffer.svg
  documents CHANGELOG.md
  ;;
vm-prune)
  services Delete Assemble
  documents CHANGELOG.md
  ;;
*)
  echo "usage: stage.sh dom0|gui|vm|vm-prune DESTDIR" >&2
  exit 2
  ;;
esac

licences=/usr/share/licenses/qubes-coffer-$package
place 644 LICENSE "$licences/LICENSE"
# A package without a program bundles nothing.
if [ -e "dist/licenses/$package.txt" ]; then
  place 644 "dist/licenses/$package.txt" "$licences/bundled-npm-packages.txt"
fi

# The packages must not depend on when this ran.
find "$destdir" -exec touch -h -d "@${SOURCE_DATE_EPOCH:?}" {} +
