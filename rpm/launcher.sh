#!/bin/sh
# Starts @PROGRAM@ with a Node.js that is new enough. Fedora calls each of its versions node-NN, and `node`
# may be an older one there; elsewhere the package's dependency sees to it that `node` will do.
@START@
for version in @VERSIONS@; do
  [ -x "/usr/bin/node-$version" ] && exec "/usr/bin/node-$version" /usr/share/coffer/@PROGRAM@ "$@"
done
exec /usr/bin/node /usr/share/coffer/@PROGRAM@ "$@"
