#!/bin/sh
# coffer-gc.sh: runs on the storage host, and deletes the backups that dom0 has put on a signed list. It is for storage
# that dom0 can only add to (docs/forgetting.md): run it there, from cron, as the user who owns the backups.
#
# A list is obeyed only if it is signed with the series' key, and only some days after it was first seen, by this
# machine's clock: that leaves you time to notice and remove a list that you did not ask for. A file is deleted only if
# it is a regular file in the directory, has the size on the list, and begins like the backup that the list names.

usage='usage: coffer-gc.sh [-n] -k KEY -s STATE [-d DAYS] DIRECTORY

  -k KEY    the public key that `coffer prune --public-key` prints, as a file
  -s STATE  a directory in which to record when each list was first seen
  -d DAYS   how long a list must have been there; by default 7
  -n        only show what would be deleted

Exit status: 0 for success, even if there was nothing to do; 1 if something failed or a list is not
authentic; 2 for a wrong command line.'

set -u
umask 077
LC_ALL=C
export LC_ALL

key='' state='' days=7 dry='' work='' failed=0
readonly LONGEST_LIST=1048576

main() {
  read_arguments "$@"
  work=$(mktemp -d) || exit 1
  trap 'rm -rf "$work"' EXIT
  trap 'exit 1' HUP INT TERM
  forget_removed
  for list in "$directory"/coffer-forget-*; do
    [ -e "$list" ] || [ -L "$list" ] || continue
    if read_list "$list"; then obey "$list"; else failed=1; fi
  done
  exit "$failed"
}

read_arguments() {
  while getopts nk:s:d: option; do
    case $option in
      n) dry=yes ;;
      k) key=$OPTARG ;;
      s) state=$OPTARG ;;
      d) days=$OPTARG ;;
      *) wrong_usage ;;
    esac
  done
  shift $((OPTIND - 1))
  # With a zero in front, it would be octal.
  case $days in '' | *[!0-9]* | ?????* | 0?*) wrong_usage ;; esac
  if [ $# -ne 1 ] || [ -z "$key" ] || [ -z "$state" ]; then wrong_usage; fi
  directory=$1
  [ -f "$key" ] || wrong_path "$key is not a file: it has to be the public key"
  [ -d "$state" ] || wrong_path "$state is not a directory: create it"
  [ -d "$directory" ] || wrong_path "$directory is not a directory"
  # The records of lists have their whole paths.
  case $directory in /*) ;; *) directory=$PWD/$directory ;; esac
  check_programs
}

# check_programs: exits unless signatures can be verified, and ages found out: no list is to be blamed for that
check_programs() {
  for program in cat cut find grep head mktemp openssl rm sed tail tr wc; do
    command -v "$program" > /dev/null 2>&1 || fail "the program $program is needed, but is not on this system"
  done
  case $(openssl version 2> /dev/null) in
    'OpenSSL '[3-9].*) ;;
    *) fail 'OpenSSL 3.0 or newer is needed' ;;
  esac
  openssl pkey -pubin -in "$key" -noout > /dev/null 2>&1 || fail "$key is not a public key"
}

fail() {
  say "coffer-gc.sh: $*" >&2
  exit 1
}

wrong_path() {
  say "coffer-gc.sh: $*" >&2
  exit 2
}

wrong_usage() {
  echo "$usage" >&2
  exit 2
}

# say TEXT…: prints a line, with ? in place of characters that are not printable ASCII
say() {
  printf '%s\n' "$*" | tr -c '[:print:]\n' '?'
}

# forget_removed: removes the records of lists that are gone, so that one that you removed, and somebody has put back, is
# a new one
forget_removed() {
  [ -z "$dry" ] || return 0
  for record in "$state"/*; do
    # Nothing else that is in this directory.
    case ${record##*/} in *[!0-9a-f]*) continue ;; esac
    if [ -L "$record" ] || ! [ -f "$record" ]; then continue; fi
    seen_as=$(cat -- "$record")
    case $seen_as in /*/coffer-forget-*) ;; *) continue ;; esac
    [ -e "$seen_as" ] || [ -L "$seen_as" ] || rm -f -- "$record" || failed=1
  done
}

# read_list FILE: copies it to $work/list and verifies its signature (Ed25519, over all lines but the last, which holds
# it in base64); the signed text is then in $work/text
read_list() {
  if [ -L "$1" ] || ! [ -f "$1" ] || [ "$(wc -c < "$1")" -gt $LONGEST_LIST ]; then
    say "$1 is not a list made by coffer" >&2
    return 1
  fi
  # A copy, which nobody can change between the check and the use.
  cat -- "$1" > "$work/list" && sed '$d' "$work/list" > "$work/text" || return 1
  sed -n '$s/^signature \([A-Za-z0-9+\/]*=*\)$/\1/p' "$work/list" |
    openssl base64 -d -A > "$work/signature" 2> /dev/null
  if openssl pkeyutl -verify -pubin -inkey "$key" -rawin -in "$work/text" \
    -sigfile "$work/signature" > /dev/null 2>&1; then
    [ "$(tail -n 1 "$work/text")" = "end $(grep -c '^file ' "$work/text")" ] && return 0
    say "$1 does not list as many files as it says: ignored" >&2
    return 1
  fi
  say "$1 is not signed with this key: ignored" >&2
  return 1
}

# obey FILE: deletes the files on the list in $work/text, if the list was first seen long enough ago; once all are gone,
# also the list and the record of it
obey() {
  seen=$state/$(openssl dgst -sha256 -r < "$work/list" | cut -c 1-64)
  if ! [ -e "$seen" ]; then
    [ -n "$dry" ] || printf '%s\n' "$1" > "$seen" || failed=1
    say "$1: seen for the first time"
    [ "$days" -eq 0 ] || return 0
  elif [ "$days" -gt 0 ] && [ -z "$(find "$seen" -mtime "+$((days - 1))")" ]; then
    return 0
  fi
  left=0
  while read -r word id bytes name rest; do
    [ "$word" = file ] || continue
    delete_file "$id" "$bytes" "$name" "$rest" || left=1
  done < "$work/text"
  if [ "$left" -ne 0 ]; then
    failed=1
  elif [ -z "$dry" ]; then
    rm -f -- "$1" "$seen" || failed=1
  fi
}

# delete_file BACKUP-ID BYTES NAME REST: deletes the file that one line of a list names; fails if it is another file
delete_file() {
  case $3 in '' | -* | .* | *[!A-Za-z0-9._-]*) say "$3 is not the name of a backup" >&2 && return 1 ;; esac
  file=$directory/$3
  [ -e "$file" ] || [ -L "$file" ] || return 0
  if [ -n "$4" ] || [ -L "$file" ] || ! [ -f "$file" ] || [ "$(wc -c < "$file")" != "$2" ] ||
    [ "$(head -c 13 < "$file")" != backup-header ] ||
    [ "$(tail -c +513 < "$file" | head -n 2 | tr '\n' ' ')" != "format=coffer-1 backup-id=$1 " ]; then
    say "$file is not what the list names: left alone" >&2
    return 1
  fi
  if [ -n "$dry" ]; then
    say "$file would be deleted"
  else
    rm -f -- "$file" && say "$file is deleted"
  fi
}

main "$@"
