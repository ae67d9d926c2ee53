#!/bin/sh
# A double of sudo for coffer: accepts -n and --, logs the command, and runs it.
while [ "$1" = -n ] || [ "$1" = -- ]; do shift; done
printf '%s\n' "$*" >>"${0%/*}/sudo.log"
exec "$@"
