#!/bin/sh
# Plays sudo for coffer: takes -n and --, notes what it was asked to run, and runs it.
while [ "$1" = -n ] || [ "$1" = -- ]; do shift; done
printf '%s\n' "$*" >>"${0%/*}/sudo.log"
exec "$@"
