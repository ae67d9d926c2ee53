# Records what Node.js changes when it starts: which signals are ignored, and whether standard output is closed
# (dom0-agent/cli/launch-state.ts). Prevents core files, which would contain keys.
# shellcheck disable=SC3045 # every shell that is a /bin/sh has -c
ulimit -c 0
while read -r name value; do
  case $name in SigIgn:) COFFER_LAUNCH_STATE=$value ;; esac
done </proc/self/status
[ -e /proc/self/fd/1 ] || COFFER_LAUNCH_STATE="$COFFER_LAUNCH_STATE closed"
export COFFER_LAUNCH_STATE
# With one arena, memory that one thread has freed can be used by the others, which allocate buffers for parts, too. This
# saves 10 MB in a restore.
export MALLOC_ARENA_MAX=1
