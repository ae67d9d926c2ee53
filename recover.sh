#!/bin/sh
# recover.sh: gets files back from a coffer-1 backup, on any system that has a POSIX shell, openssl
# (3.0 or newer), GNU tar and the backup's compression program. docs/recovery.md is the same by hand,
# and has the older formats too; docs/archive-format.md tells what is done here and why.
#
# First the list of members is held against the manifest at the end of the backup. Then the parts of
# the wanted files are copied one at a time into a private directory, and checked; only what
# was checked is decrypted, decompressed and unpacked. So TMPDIR needs room for a part (64 MiB at
# most) and for the lists (about a kilobyte a part).
#
# The passphrase and the keys go through pipes, and are in no file and no argument, but for one
# thing that openssl leaves no other way for: while a part is decrypted, the key of that part alone
# is among the arguments of `openssl enc`, where other users of this system could see it.

usage='usage: recover.sh [-p FILE] BACKUP                        list what is in a backup
       recover.sh [-p FILE] BACKUP OUTPUT-DIR [WHAT...]    recover files from it

WHAT is a file as it is listed (vm5/private.img), a directory (vm5) or the name of a VM;
everything when there is none. The passphrase is asked for, or is the first line of FILE
(- is standard input). In the end the status is 0 when all is well, 2 for a wrong command line,
3 for a wrong passphrase or a damaged or incomplete backup, 130 after an interruption, 1 else.'

set -u
umask 077
LC_ALL=C TZ=UTC0
export LC_ALL TZ
unset TAR_OPTIONS GZIP BZIP BZIP2 XZ_OPT XZ_DEFAULTS

readonly FAILED=1 USAGE=2 DAMAGED=3 INTERRUPTED=130
by_hand='single files may still be whole, and docs/recovery.md tells how to get at them by hand'

work='' partial='' terminal=''

main() {
  read_arguments "$@"
  check_programs
  trap clean_up EXIT
  heed_signals
  work=$(mktemp -d) || die $FAILED 'there is no room for temporary files: set TMPDIR'
  index_members
  read_header
  read_passphrase
  derive_root_key
  check_header
  check_manifest
  read_vms
  if [ -z "$output" ]; then list_files; else recover_files "$@"; fi
}

read_arguments() {
  passphrase_file=''
  while getopts p:h option; do
    case $option in
      p) passphrase_file=$OPTARG ;;
      h) printf '%s\n' "$usage" && exit 0 ;;
      *) die_of_usage ;;
    esac
  done
  shift $((OPTIND - 1))
  [ -n "${1-}" ] || die_of_usage
  backup=$1 output=''
  if [ ! -f "$backup" ] || [ ! -r "$backup" ]; then
    die $USAGE "there is no file $backup that can be read"
  fi
  # A name that begins with a dash, or is a number, must not look like something else.
  case $backup in /*) ;; *) backup=./$backup ;; esac
  [ $# -eq 1 ] && return
  [ -n "$2" ] || die_of_usage
  case $2 in /*) output=$2 ;; *) output=./$2 ;; esac
}

check_programs() {
  case $(openssl version 2>/dev/null) in
    'OpenSSL '[3-9].*) ;;
    *) die $FAILED 'OpenSSL 3.0 or newer is needed' ;;
  esac
  case $(tar --version 2>/dev/null) in
    *'GNU tar'*) ;;
    *) die $FAILED 'GNU tar is needed' ;;
  esac
  # A printf that is a program of its own would show secrets among its arguments.
  case $(command -v printf) in
    printf) ;;
    *) die $FAILED 'this shell has no printf of its own: use dash, bash or busybox sh' ;;
  esac
}

### The list of members ###

# Writes `name size block` of every member but the .hmac ones to $work/index, and the MACs that the
# backup claims for them to $work/macs. Nothing here is authentic yet, but it is known that the
# members lie one behind the other, each followed by its .hmac, from the beginning to the end.
index_members() {
  printf 'backup-header\000' >"$work/beginning"
  head -c 14 "$backup" | cmp -s - "$work/beginning" || not_ours
  tar --list --verbose --block-number --numeric-owner --quoting-style=escape --force-local \
    --file "$backup" 2>/dev/null | awk -v problem="$work/problem" -v end="$work/end" '
    function bad() {
      print "it is cut short or damaged " (last == "" ? "at its beginning" : "after " last) >problem
      failed = 1
      exit 1
    }
    { block = $2 + 0; if (block != next_block + 0) bad() }
    $3 == "**" { ended = 1; exit 0 }
    # block N: -rw------- 0/0 SIZE 1970-01-01 00:00 NAME
    NF != 8 || $3 != "-rw-------" || $5 !~ /^[0-9]+$/ || length($5) > 8 { bad() }
    $8 !~ /^[A-Za-z0-9_-][A-Za-z0-9_.-]*(\/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$/ { bad() }
    { next_block = block + 1 + int(($5 + 511) / 512) }
    NR % 2 == 0 { if ($8 != last ".hmac" || $5 != 129) bad(); next }
    # The manifest, of 64 MiB at most, has a line of over 160 bytes for each.
    NR > 800000 { bad() }
    { last = $8; printf "%s %s %.0f\n", $8, $5, block }
    END {
      if (failed) exit 1
      if (!ended || NR < 7 || NR % 2 == 0) bad()
      printf "%.0f\n", block >end
    }' >"$work/index" || damaged "$(cat "$work/problem"); $by_hand"
  read -r end <"$work/end"
  [ "$(dd if="$backup" bs=512 skip="$end" count=3 2>/dev/null | wc -c)" -eq 1024 ] ||
    damaged 'it does not end where it should: it is cut short, or longer'
  tar --extract --to-stdout --force-local --file "$backup" --wildcards '*.hmac' \
    >"$work/macs" 2>/dev/null || damaged 'it is cut short'
}

### The header and the keys ###

# Sets id, encrypted, filter, n, salt and part_size. The header must be just as coffer writes it. It
# is not authentic until the key has been derived in the way that it tells: hence the bounds.
read_header() {
  read -r name size block <"$work/index"
  if [ "$name" != backup-header ] || [ "$size" -gt 4096 ]; then not_ours; fi
  fetch "$block" "$size"
  [ "$(head -n 1 "$work/part")" = format=coffer-1 ] || not_ours
  exec 3<"$work/part"
  header=''
  header_value format coffer-1
  header_value backup-id
  require_hex 32
  id=$value
  header_value encrypted True False
  encrypted=$value
  header_value compressed True False
  compressed=$value
  header_value compression-filter zstd gzip xz bzip2 none
  filter=$value
  case $compressed-$filter in True-none | False-[!n]*) bad_header ;; esac
  header_value crypto-algorithm aes-256-ctr
  header_value hmac-algorithm sha512
  header_value kdf scrypt
  header_value kdf-n 16384 32768 65536 131072 262144 524288 1048576 2097152
  n=$value
  header_value kdf-r 8
  header_value kdf-p 1
  header_value kdf-salt
  require_hex 64
  salt=$value
  header_value part-size
  case $value in '' | 0* | *[!0-9]* | ?????????*) bad_header ;; esac
  if [ "$value" -lt 4096 ] || [ "$value" -gt 67108864 ]; then bad_header; fi
  part_size=$value
  exec 3<&-
  printf '%s' "$header" | cmp -s - "$work/part" || damaged 'its header is not as coffer writes it'
  [ "$filter" = none ] || command -v "$filter" >/dev/null ||
    die $FAILED "the program $filter is needed for this backup"
}

# Sets value to that of the next line of the header, which must have the key $1. If there are more
# arguments, it must be one of them.
header_value() {
  key=$1
  shift
  IFS= read -r line <&3 || bad_header
  header="$header$line
"
  value=${line#"$key="}
  [ "$line" = "$key=$value" ] || bad_header
  [ $# -gt 0 ] || return 0
  for choice; do [ "$value" != "$choice" ] || return 0; done
  bad_header
}

require_hex() {
  is_hex "$value" "$1" || bad_header
}

bad_header() {
  damaged "its header has no sound $key"
}

# Whether $1 is $2 hex digits.
is_hex() {
  [ ${#1} -eq "$2" ] || return 1
  case $1 in *[!0-9a-f]*) return 1 ;; esac
}

# Sets passphrase: the first line of the file, or asked for.
read_passphrase() {
  passphrase=''
  case $passphrase_file in
    '') ask_passphrase ;;
    -) IFS= read -r passphrase ;;
    *)
      [ -r "$passphrase_file" ] || die $USAGE "the passphrase file $passphrase_file cannot be read"
      IFS= read -r passphrase <"$passphrase_file"
      ;;
  esac
  carriage_return=$(printf '\r')
  passphrase=${passphrase%"$carriage_return"}
  [ -n "$passphrase" ] || die $USAGE 'the passphrase is empty'
  # What openssl reads at most; it would cut off the rest without a word.
  [ ${#passphrase} -le 1000 ] || die $FAILED 'openssl takes a passphrase of 1000 bytes at most'
}

ask_passphrase() {
  terminal=$(stty -g </dev/tty 2>/dev/null) ||
    die $USAGE 'there is no terminal to ask for the passphrase: use -p FILE'
  printf 'Passphrase: ' >/dev/tty
  stty -echo </dev/tty
  IFS= read -r passphrase </dev/tty
  stty "$terminal" </dev/tty
  terminal=''
  printf '\n' >/dev/tty
}

# Sets root, 64 bytes in hex. openssl wants to be allowed the memory: 128 bytes * N * r, and some.
derive_root_key() {
  root=$(printf '%s\n' "$passphrase" |
    openssl pkeyutl -kdf scrypt -kdflen 64 -pkeyopt_passin pass:stdin -pkeyopt "hexsalt:$salt" \
      -pkeyopt "N:$n" -pkeyopt r:8 -pkeyopt p:1 -pkeyopt "maxmem_bytes:$((n * 2048))" \
      2>"$work/problem" | to_hex)
  is_hex "$root" 128 || die $FAILED "openssl cannot derive the key: $(tail -n 1 "$work/problem")"
  passphrase=''
}

to_hex() {
  od -An -v -tx1 | tr -d ' \n'
}

# Writes the $2 bytes of the key for the purpose $1 (mac, enc) of the member $3.
expand() {
  printf '%s\n' "$root" |
    openssl pkeyutl -kdf HKDF -kdflen "$2" -pkeyopt md:SHA512 -pkeyopt mode:EXPAND_ONLY \
      -pkeyopt_passin hexkey:stdin -pkeyopt "info:coffer-1 $1 $id $3"
}

# Sets inner and outer, for the MAC of the member $1, and key and counter, for its decryption.
# inner and outer are what HMAC (RFC 2104) puts before the two texts that it hashes: the key, filled
# up to 128 bytes, xor 0x36 and xor 0x5c. They are in the escapes of printf. For `openssl dgst
# -macopt` would show the key to all who look.
derive_member_keys() {
  keys=$({ expand mac 64 "$1" && expand enc 48 "$1"; } | od -An -v -tx1 | awk '
    function xor(a, b,   bit, result) {
      for (bit = 1; bit < 256; bit *= 2)
        if (int(a / bit) % 2 != int(b / bit) % 2) result += bit
      return result
    }
    function value(hex) {
      return 16 * (index(digits, substr(hex, 1, 1)) - 1) + index(digits, substr(hex, 2)) - 1
    }
    function block(pad,   i, text) {
      for (i = 0; i < 128; i++) text = text sprintf("\\0%03o", xor(i < 64 ? value(byte[i]) : 0, pad))
      return text
    }
    function hex(from, to,   i, text) {
      for (i = from; i < to; i++) text = text byte[i]
      return text
    }
    BEGIN { digits = "0123456789abcdef" }
    { for (i = 1; i <= NF; i++) byte[bytes++] = $i }
    END { if (bytes == 112) print block(54), block(92), hex(64, 96), hex(96, 112) }')
  [ -n "$keys" ] || die $FAILED 'openssl cannot derive a key'
  inner=${keys%% *} keys=${keys#* }
  outer=${keys%% *} keys=${keys#* }
  key=${keys%% *} counter=${keys#* }
}

# Sets mac: what belongs to the content of $work/part under the keys that were derived last.
compute_mac() {
  mac=$({
    printf '%b' "$outer"
    {
      printf '%b' "$inner"
      cat "$work/part"
    } | openssl dgst -sha512 -binary
  } | openssl dgst -sha512 -r)
  mac=${mac%% *}
  is_hex "$mac" 128 || die $FAILED 'openssl cannot compute a MAC'
}

# The header is still in $work/part.
check_header() {
  read -r stated <"$work/macs"
  derive_member_keys backup-header
  compute_mac
  [ "$mac" = "$stated" ] ||
    die $DAMAGED "the passphrase is wrong, or the backup's header was damaged or tampered with"
}

### Parts ###

# Copies the $2 bytes behind the tar header in block $1 to $work/part.
fetch() {
  {
    # Moves the offset from which head reads on.
    dd bs=512 skip="$(($1 + 1))" count=0 2>/dev/null
    head -c "$2"
  } <"$backup" >"$work/part"
}

# Copies the member $1, of $2 bytes, in block $3, to $work/part. Its MAC must be $4.
fetch_checked() {
  fetch "$3" "$2"
  derive_member_keys "$1"
  compute_mac
  [ "$mac" = "$4" ] ||
    damaged "$1 was damaged or tampered with (what it is a part of was not recovered)"
}

# Writes the plaintext of $work/part, which was checked, to standard output.
decrypt() {
  if [ "$encrypted" = False ]; then
    cat "$work/part"
  else
    openssl enc -d -aes-256-ctr -K "$key" -iv "$counter" -in "$work/part" 2>/dev/null
  fi
}

decompress() {
  if [ "$filter" = none ]; then cat; else "$filter" -d -c; fi
}

# Writes the stream of a file, whose $1 parts come next from descriptor 3, to descriptor 4. Ends
# early when nobody takes it.
feed() {
  fed=0
  while [ "$fed" -lt "$1" ]; do
    read -r name size block stated <&3
    fetch_checked "$name" "$size" "$block" "$stated"
    decrypt >&4 || return 0
    fed=$((fed + 1))
  done
}

### The manifest and qubes.xml ###

# Holds all that index_members found against the manifest: the manifest that such members would have
# must be the one that is there. Writes a line `path parts bytes` for every file to $work/files, and a
# line `name size block mac` for every part to $work/parts.
check_manifest() {
  paste -d ' ' "$work/index" "$work/macs" >"$work/members"
  manifest=$(tail -n 1 "$work/members")
  case $manifest in
    'manifest.000 '*) ;;
    *) damaged "it is incomplete: there is no manifest at its end; $by_hand" ;;
  esac
  expect_manifest || damaged "a member is not where it should be; $by_hand"
  printf '%s\n' "$manifest" >"$work/wanted"
  unpack_small manifest 1 >"$work/manifest"
  cmp -s "$work/manifest" "$work/expected" && return
  differing=$(diff "$work/manifest" "$work/expected" |
    sed -n 's/^[<>] member \([^ ]*\) .*/\1/p' | head -n 1)
  damaged "it does not agree with its manifest, first at ${differing:-the end}; $by_hand"
}

expect_manifest() {
  awk -v expected="$work/expected" -v files="$work/files" -v parts="$work/parts" \
    -v part_size="$part_size" '
    function end_of_file() {
      if (count == 0) return
      print path, count, bytes >files
      list = list "file " path " " count " " bytes "\n"
      number_of_files++
    }
    BEGIN { OFMT = CONVFMT = "%.0f"; print "coffer-1 manifest" >expected }
    NF != 4 || length($4) != 128 || $4 ~ /[^0-9a-f]/ { exit 1 }
    $1 == "manifest.000" { next }
    { total += $2; print "member", $1, $2, $4 >expected }
    NR == 1 { next }
    {
      new_path = $1
      sub(/\.[0-9]+$/, "", new_path)
      if (new_path != path) { end_of_file(); path = new_path; count = bytes = 0 }
      if ($1 != sprintf("%s.%03d", path, count) || $2 > part_size + 0) exit 1
      count++
      bytes += $2
      print >parts
    }
    END {
      end_of_file()
      printf "%stotal %d %d %.0f\n", list, NR - 1, number_of_files, total >expected
    }' "$work/members"
}

# Writes the content of the small file $1, whose $2 parts are in $work/wanted.
unpack_small() {
  exec 3<"$work/wanted" 4>"$work/small"
  feed "$2"
  exec 3<&- 4>&-
  decompress <"$work/small" 2>"$work/problem" |
    tar --extract --to-stdout --file - "$1" 2>>"$work/problem" ||
    damaged "$1 cannot be unpacked, though it is authentic: $(tail -n 1 "$work/problem")"
  rm "$work/small"
}

# Writes a line `directory name` for every VM to $work/vms, and sets created. qubes.xml is authentic.
read_vms() {
  echo qubes.xml >"$work/chosen"
  choose_parts
  exec 3<"$work/wanted"
  read -r path parts <&3
  [ "$path" = qubes.xml ] || damaged 'it has no qubes.xml'
  sed 1d "$work/wanted" >"$work/wanted-parts"
  mv "$work/wanted-parts" "$work/wanted"
  unpack_small qubes.xml "$parts" >"$work/qubes.xml"
  awk -v vms="$work/vms" '
    function value() { return substr($0, index($0, ">") + 1) }
    BEGIN { RS = "<" }
    /^domain / { name = path = "" }
    /^property name="name">/ { name = value() }
    /^feature name="backup-path">/ { path = value(); sub(/\/$/, "", path) }
    /^feature name="backup-created">/ { print value() }
    /^\/domain>/ && path != "" {
      if (name == "" && path ~ /^dom0-home\//) name = "dom0"
      if ((path " " name) ~ /^[A-Za-z0-9_.\/-]+ [A-Za-z0-9_.-]+$/) print path, name >vms
    }' "$work/qubes.xml" >"$work/created"
  touch "$work/vms"
}

### What the user asked for ###

list_files() {
  created=$(tr -dc '0-9TZ:-' <"$work/created")
  printf 'A backup%s, complete by its manifest. The files'\'' contents were not checked.\n' \
    "${created:+ of $created}"
  awk -v vms="$work/vms" '
    BEGIN { while ((getline line <vms) > 0) { split(line, vm, " "); name[vm[1]] = vm[2] } }
    {
      directory = $1
      if (!($1 in name)) sub(/\/[^\/]*$/, "", directory)
      printf "%-28s %15s bytes stored   %s\n", $1, $3, name[directory]
    }' "$work/files"
}

recover_files() {
  shift $((OPTIND - 1))
  shift 2
  choose_files "$@"
  choose_parts
  mkdir -p "$output" || die $FAILED "the directory $output cannot be made"
  while read -r path _ <&3; do
    if [ -e "$output/$path" ] || [ -L "$output/$path" ]; then
      die $FAILED "$output/$path exists already: choose another directory, or other files"
    fi
  done 3<"$work/chosen"
  mkfifo "$work/stream" || die $FAILED 'a pipe cannot be made in TMPDIR'
  exec 3<"$work/wanted"
  while read -r path parts <&3; do
    recover_file "$path" "$parts"
    printf '%s\n' "$output/$path"
  done
}

# Writes the paths of the files that the arguments mean to $work/chosen: all when there are none.
choose_files() {
  if [ $# -eq 0 ]; then
    cut -d ' ' -f 1 "$work/files" >"$work/chosen"
    return
  fi
  for what; do
    what=${what%/} awk -v vms="$work/vms" '
      BEGIN {
        what = directory = ENVIRON["what"]
        while ((getline line <vms) > 0) { split(line, vm, " "); if (vm[2] == what) directory = vm[1] }
      }
      $1 == what || $1 == directory || index($1, what "/") == 1 || index($1, directory "/") == 1 {
        print $1
        found = 1
      }
      END { exit !found }' "$work/files" >>"$work/chosen.new" ||
      die $USAGE "there is no $what in the backup: see what it lists without OUTPUT-DIR"
  done
  mv "$work/chosen.new" "$work/chosen"
}

# Writes to $work/wanted, for every file in $work/chosen, a line `path parts`, then its parts' lines.
choose_parts() {
  awk -v chosen="$work/chosen" -v files="$work/files" '
    BEGIN {
      while ((getline path <chosen) > 0) wanted[path] = 1
      while ((getline line <files) > 0) { split(line, file, " "); parts[file[1]] = file[2] }
    }
    {
      path = $1
      sub(/\.[0-9]+$/, "", path)
      if (!(path in wanted)) next
      if ($1 == path ".000") print path, parts[path]
      print
    }' "$work/parts" >"$work/wanted"
}

# Unpacks the file $1, of $2 parts, below <file>.partial, from where it moves to its place when it is
# whole. The parts come from descriptor 3.
recover_file() {
  target=$output/$1
  { mkdir -p "${target%/*}" && mkdir "$target.partial"; } 2>/dev/null ||
    die $FAILED "$target.partial cannot be made: if an earlier recovery left it, remove it"
  partial=$target.partial
  : >"$work/problem"
  rm -f "$work/not-decompressed"
  # Were a signal to come before both ends of the pipe are open, one end would wait forever.
  ignore_signals
  {
    heed_signals
    { decompress <"$work/stream" || : >"$work/not-decompressed"; } |
      tar --extract --file - --no-same-owner --directory "$partial" "$1"
  } 3<&- 2>>"$work/problem" &
  unpacking=$!
  exec 4>"$work/stream"
  heed_signals
  feed "$2"
  exec 4>&-
  if ! wait "$unpacking" || [ -e "$work/not-decompressed" ] ||
    ! mv "$partial/$1" "$target" 2>>"$work/problem"; then
    die $FAILED "$1 cannot be unpacked to $output: $(tail -n 1 "$work/problem")"
  fi
  rm -rf "$partial"
  partial=''
}

### Endings ###

heed_signals() {
  trap 'exit $INTERRUPTED' INT TERM HUP
}

ignore_signals() {
  trap '' INT TERM HUP
}

clean_up() {
  ignore_signals
  # The unpacking ends with its input, which may be standard output too, if a function was feeding
  # it. Then nothing writes into the directories any more.
  exec 3<&- 4>&- >&2
  wait
  [ -z "$partial" ] || rm -rf "$partial"
  [ -z "$work" ] || rm -rf "$work"
  [ -z "$terminal" ] || stty "$terminal" </dev/tty
}

die() {
  status=$1
  shift
  printf 'recover.sh: %s\n' "$*" >&2
  exit "$status"
}

die_of_usage() {
  printf '%s\n' "$usage" >&2
  exit $USAGE
}

damaged() {
  die $DAMAGED "the backup is damaged: $*"
}

not_ours() {
  die $DAMAGED "$backup is no coffer-1 backup; docs/recovery.md tells of the older formats"
}

main "$@"
