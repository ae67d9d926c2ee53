#!/bin/sh
# The tests for %check: those that need no recorded fixtures and little time.
set -eu
cd "$(dirname "$0")/.."
exec node node_modules/vitest/vitest.mjs run \
  test/protocol test/archive/coffer1/vectors.test.ts test/archive/tar/hostile-inner-tar.test.ts
