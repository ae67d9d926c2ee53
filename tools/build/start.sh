# What Node.js forgets when it starts is noted for it: which signals are ignored, and whether standard output
# is closed (dom0-agent/cli/launch-state.ts). No core file is written: it would hold keys.
# shellcheck disable=SC3045 # every shell that is a /bin/sh has -c
ulimit -c 0
while read -r name value; do
  case $name in SigIgn:) COFFER_LAUNCH_STATE=$value ;; esac
done </proc/self/status
[ -e /proc/self/fd/1 ] || COFFER_LAUNCH_STATE="$COFFER_LAUNCH_STATE closed"
export COFFER_LAUNCH_STATE
# Memory that one thread frees goes to the others: buffers for parts come from several. It takes 10 MB less in a restore.
export MALLOC_ARENA_MAX=1
