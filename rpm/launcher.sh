#!/bin/sh
# Starts @PROGRAM@ with a Node.js that is new enough. Fedora calls each of its versions node-NN, and `node`
# may be an older one there; elsewhere the package's dependency sees to it that `node` will do.
@START@
# See tools/build/programs.mjs.
set -- --no-incremental-marking /usr/share/coffer/@PROGRAM@ "$@"
for version in @VERSIONS@; do
  [ -x "/usr/bin/node-$version" ] && exec "/usr/bin/node-$version" "$@"
done
exec /usr/bin/node "$@"
