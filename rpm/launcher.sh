#!/bin/sh
# Starts @PROGRAM@ with a version of Node.js that is new enough. On Fedora, each version is installed as node-NN, and
# `node` may be an older one; elsewhere, the package's dependency makes sure that `node` is new enough.
@START@
# See tools/build/programs.mjs.
set -- --no-incremental-marking /usr/share/coffer/@PROGRAM@ "$@"
for version in @VERSIONS@; do
  [ -x "/usr/bin/node-$version" ] && exec "/usr/bin/node-$version" "$@"
done
exec /usr/bin/node "$@"
