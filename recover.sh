#!/bin/sh
# recover.sh: recovers files from a coffer-1 backup, on any system that has a POSIX shell, openssl
# (3.0 or newer), GNU tar and the backup's compression program. If the backup needs other files of its
# series, they are looked for in its directory. docs/recovery.md describes how to do the same by
# hand, also for the older formats; docs/archive-format.md explains what is done here and why.
#
# First the list of members is compared with the manifest at the end of the backup. Then the members of
# the wanted files are copied one at a time into a private directory and verified; only verified members
# are decrypted, decompressed and unpacked. A volume is assembled from its parts by means of its map.
# So TMPDIR needs room for two copies of a part (64 MiB at most each), and for the lists (about a kilobyte per part).
#
# Even an authentic backup may come from a system that an attacker had taken over. So
# everything is unpacked in a new, separate directory. From there, only regular files with one of the few
# paths that coffer writes, and the tree of dom0's home without devices, are moved to their places.
#
# Some versions of awk, head and sed (those of busybox) do not report a failed write. So files are written
# through `save`, which does; and lists end with a line that shows that they are complete.
#
# The passphrase and the keys go through pipes, never into a file or an argument, with one exception,
# for which openssl leaves no other way: while a part is decrypted, the key of that part alone
# is among the arguments of `openssl enc`, where other users of this system could see it.

usage='usage: recover.sh [-p FILE] BACKUP                        list what is in a backup
       recover.sh [-p FILE] BACKUP OUTPUT-DIR [WHAT...]    recover files from it
       recover.sh [-p FILE] DIRECTORY                     list the backups in a directory

If BACKUP needs other files of its series, they must be in the same directory. WHAT is a file as
listed (vm5/private.img), a directory (vm5) or the name of a VM; without it, everything is recovered.
The passphrase is asked for, or is the first line of FILE (- is standard input), byte by byte.
Exit status: 0 for success, 2 for a wrong command line, 3 for a wrong passphrase or a damaged or
incomplete backup, 130 for an interruption, 1 for everything else: no space, a missing program,
another format.'

set -u
umask 077
LC_ALL=C TZ=UTC0
export LC_ALL TZ
unset TAR_OPTIONS GZIP BZIP BZIP2 XZ_OPT XZ_DEFAULTS
# If it is closed, a file would be opened in its place.
(: 3>&2) || exec 2>/dev/null

readonly FAILED=1 USAGE=2 DAMAGED=3 INTERRUPTED=130
by_hand='single files may still be complete: docs/recovery.md explains how to extract them by hand'

work='' partial='' terminal='' progress=''

main() {
  read_arguments "$@"
  check_programs
  trap clean_up EXIT
  exit_on_signals
  make_work_directory
  if [ -d "$backup" ]; then
    list_directory
    return
  fi
  recognise_format
  index_members
  read_header
  [ "$kind" = backup ] || die $FAILED "$backup is not a backup: it holds data that other files of its series need"
  read_passphrase
  derive_root_key || die $FAILED "$problem"
  open_series || die $DAMAGED "$problem"
  passphrase=''
  check_header
  check_manifest
  check_what_follows
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
  if [ -d "$backup" ] && [ $# -gt 1 ]; then
    die $USAGE "$backup is a directory: choose one of the backups that are listed without OUTPUT-DIR"
  fi
  if [ ! -e "$backup" ] || [ ! -r "$backup" ]; then
    die $USAGE "$backup does not exist, or cannot be read"
  fi
  # A name that begins with a dash, or is a number, must not be taken for something else.
  case $backup in /*) ;; *) backup=./$backup ;; esac
  [ $# -eq 1 ] && return
  [ -n "$2" ] || die_of_usage
  case $2 in /*) output=$2 ;; *) output=./$2 ;; esac
}

check_programs() {
  for program in awk cat chmod cmp dd find head ln mkdir mkfifo mktemp mv od openssl rm sed sort tail tar tr wc; do
    command -v "$program" >/dev/null 2>&1 ||
      die $FAILED "the program $program is needed, but is not on this system"
  done
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

### Temporary files ###

make_work_directory() {
  temporary=${TMPDIR:-/tmp}
  if [ ! -d "$temporary" ] || [ ! -w "$temporary" ]; then
    die $FAILED "temporary files cannot be made in $temporary: set TMPDIR to another directory"
  fi
  work=$(mktemp -d 2>/dev/null) || no_space
}

# Saves standard input as $work/$1. It comes last in a pipeline, so its exit status is the pipeline's.
save() {
  { cat >"$work/$1"; } 2>/dev/null || no_space
}

# Whether the directory $1 has room for one more file of 64 KiB.
has_room() {
  head -c 65536 /dev/zero | cat >"$1/room" && rm -f "$1/room"
} 2>/dev/null

no_space() {
  die $FAILED "there is no space in $temporary for temporary files: set TMPDIR to a directory with more"
}

### The list of members ###

# Dies unless the backup has the format coffer-1. Nothing that is read here is verified yet.
recognise_format() {
  [ -n "$(head -c 1 <"$backup" | tr '\000' 0)" ] || die $DAMAGED "$backup is empty"
  first=$(beginning_of_backup | tar --list --quoting-style=escape --file - 2>/dev/null | head -n 1)
  [ "$first" != qubes.xml.000 ] || other_format 2
  header=$(beginning_of_backup |
    tar --extract --to-stdout --occurrence=1 --file - -- backup-header 2>/dev/null |
    tr -cd '\040-\176\n')
  for version in 2 3 4; do
    case "
$header
" in *"
version=$version
"*) other_format $version ;; esac
  done
  case $header in
    'format=coffer-1
'*) ;;
    *) not_ours ;;
  esac
}

# Long enough to contain the header. It does not matter that the rest is cut off.
beginning_of_backup() {
  head -c 20480 <"$backup"
}

other_format() {
  die $FAILED "$backup is a backup in the format $1 of Qubes, which recover.sh does not read:" \
    "docs/recovery.md explains, under \"Format $1\", how to recover it by hand"
}

not_ours() {
  die $DAMAGED "$backup does not begin as a coffer-1 backup does: it is something else, or damaged there"
}

# Writes `name size block` of every member but the .hmac ones to $work/index, and the contents of the
# .hmac members to $work/macs. Nothing of this is verified yet; but afterwards it is known that the members
# follow each other without gaps, each with its .hmac behind it, from the beginning to the end.
index_members() {
  printf 'backup-header\000' | save beginning || exit $FAILED
  head -c 14 <"$backup" | cmp -s - "$work/beginning" || not_ours
  tar --list --verbose --block-number --numeric-owner --quoting-style=escape --force-local \
    --file "$backup" 2>/dev/null | awk '
    function bad() {
      print "bad", last == "" ? "at its beginning" : "after " last
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
    # Half of these are .hmac members: the rest, parts of 4 MiB, would hold 32 TiB.
    NR > 17000000 { bad() }
    { last = $8; printf "%s %s %.0f\n", $8, $5, block }
    END {
      if (failed) exit 1
      if (!ended || NR < 7 || NR % 2 == 0) bad()
      printf "end %.0f\n", block
    }' | save index || exit $FAILED
  read -r verdict end <<END
$(tail -n 1 "$work/index")
END
  case $verdict in
    end) ;;
    bad) damaged "it is cut short or damaged $end; $by_hand" ;;
    *) die $FAILED 'awk cannot read the list of members' ;;
  esac
  if [ "$(blocks_from "$end" | head -c 1024 | wc -c)" -ne 1024 ] ||
    [ "$(blocks_from "$end" | head -c 1024 | tr -d '\000' | wc -c)" -ne 0 ]; then
    damaged 'it is cut short, or damaged at its end'
  fi
  {
    tar --extract --to-stdout --force-local --file "$backup" --wildcards -- '*.hmac' 2>/dev/null ||
      echo failed
  } | save macs || exit $FAILED
  [ "$(tail -n 1 "$work/macs")" != failed ] || damaged "it is cut short, or cannot be read; $by_hand"
}

# Writes the backup, from block $1 (of 512 bytes) to its end, to standard output.
blocks_from() {
  {
    # Only moves the offset from which cat reads.
    dd bs=512 skip="$1" count=0
    cat
  } <"$backup" 2>/dev/null
}

### The header and the keys ###

# Sets id, series, kind, encrypted, filter, n, salt, wrapped, wrapped_mac, grain (a chunk's size) and part_size. The
# header must be exactly as coffer writes it. It cannot be verified before the key has been derived with the parameters
# in it: hence the limits.
read_header() {
  read -r name size block <"$work/index"
  if [ "$name" != backup-header ] || [ "$size" -gt 4096 ]; then not_ours; fi
  fetch "$name" "$size" "$block" || die $FAILED "$problem"
  exec 3<"$work/part"
  header=''
  header_value format coffer-1
  header_value backup-id
  require_hex 32
  id=$value
  header_value series-id
  require_hex 32
  series=$value
  header_value kind backup data pack
  kind=$value
  header_value streamable True False
  header_value encrypted True False
  encrypted=$value
  header_value compression-filter zstd gzip none
  filter=$value
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
  header_value series-key
  require_hex 128
  wrapped=$value
  header_value series-key-mac
  require_hex 128
  wrapped_mac=$value
  header_value grain 65536 131072 262144 524288 1048576 2097152 4194304 8388608 16777216
  grain=$value
  header_value part-size
  case $value in '' | 0* | *[!0-9]* | ?????????*) bad_header ;; esac
  if [ "$value" -lt "$grain" ] || [ "$value" -gt 67108864 ] || [ "$value" -gt $((32 * grain)) ] ||
    [ $((value % grain)) -ne 0 ]; then
    bad_header
  fi
  part_size=$value
  exec 3<&-
  printf '%s' "$header" | cmp -s - "$work/part" || damaged 'its header is not as coffer writes it'
  [ "$filter" = none ] || command -v "$filter" >/dev/null 2>&1 ||
    die $FAILED "the program $filter is needed for this backup, but is not on this system"
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
  damaged "its header has no valid $key"
}

# Whether $1 is $2 hex digits.
is_hex() {
  [ ${#1} -eq "$2" ] || return 1
  case $1 in *[!0-9a-f]*) return 1 ;; esac
}

# Sets passphrase to its bytes, without the end of the line, as escapes (\0 and three octal digits) for printf %b: a
# variable cannot hold every byte.
read_passphrase() {
  case $passphrase_file in
    '') ask_passphrase ;;
    -) passphrase=$(first_line) ;;
    *)
      if [ -d "$passphrase_file" ] || [ ! -r "$passphrase_file" ]; then
        die $USAGE "the passphrase file $passphrase_file cannot be read"
      fi
      passphrase=$(first_line <"$passphrase_file")
      ;;
  esac
  # The end of the line, of Unix or of Windows, is not part of it.
  passphrase=${passphrase%'\0012'}
  passphrase=${passphrase%'\0015'}
  [ -n "$passphrase" ] || die $USAGE 'the passphrase is empty'
  case $passphrase in
    *'\0000'*) die $USAGE 'the passphrase contains a NUL byte, which is not allowed' ;;
  esac
  # An escape has 5 characters. openssl reads little more than 1000 bytes, and would silently cut off the rest.
  [ ${#passphrase} -le 5000 ] ||
    die $USAGE 'the passphrase has more than 1000 bytes, which is not allowed'
}

# Writes the first line of standard input as escapes; of a line that is too long, just enough to see that it is.
first_line() {
  head -n 1 | head -c 1003 | escape
}

escape() {
  od -An -v -to1 | tr -d '\n' | sed 's/ \{1,\}/\\0/g'
}

ask_passphrase() {
  terminal=$(stty -g </dev/tty 2>/dev/null) ||
    die $USAGE 'there is no terminal (or no stty) to ask for the passphrase: use -p FILE'
  printf 'Passphrase: ' >/dev/tty
  stty -echo </dev/tty
  IFS= read -r passphrase </dev/tty
  stty "$terminal" </dev/tty
  terminal=''
  printf '\n' >/dev/tty
  passphrase=$(printf '%s' "$passphrase" | escape)
}

# Sets root, 64 bytes in hex; otherwise sets problem, and fails. scrypt needs 128 bytes * N * r and a little more, which
# openssl must be allowed to use: here r is 8, so 2048 bytes * N is twice that.
derive_root_key() {
  root=$({
    printf '%b\n' "$passphrase" |
      openssl pkeyutl -kdf scrypt -kdflen 64 -pkeyopt_passin pass:stdin -pkeyopt "hexsalt:$salt" \
        -pkeyopt "N:$n" -pkeyopt r:8 -pkeyopt p:1 -pkeyopt "maxmem_bytes:$((n * 2048))"
  } 2>"$work/problem" | to_hex)
  problem="openssl cannot derive the key, for which it needs $((n / 1024)) MiB of memory: $(tail -n 1 "$work/problem")"
  is_hex "$root" 128
}

to_hex() {
  od -An -v -tx1 | tr -d ' \n'
}

# Sets series_key, 64 bytes in hex: the key from which all others are derived. The header holds it XORed with bytes that
# are derived from the root key, and a MAC of the result, under a key that is derived from the root key too. If that MAC
# is wrong, so is the passphrase (or the header): then fails, and the message is in problem.
open_series() {
  derive_keys "$root" "wrap mac $series" 64 "wrap enc $series"
  root=''
  printf '%b' "$(printf '%s\n' "$wrapped" | awk "$hex_functions"'
    { for (i = 1; i <= length($0); i += 2) printf "\\0%03o", value(substr($0, i, 2)) }')" | save part || exit $FAILED
  compute_mac
  problem="the passphrase is wrong, or the backup's header was damaged or tampered with"
  [ "$mac" = "$wrapped_mac" ] || return 1
  series_key=$(printf '%s %s\n' "$wrapped" "$key$counter" | awk "$hex_functions"'
    {
      for (i = 1; i <= length($1); i += 2)
        printf "%02x", exclusive_or(value(substr($1, i, 2)), value(substr($2, i, 2)))
    }')
  is_hex "$series_key" 128 || die $FAILED 'awk cannot compute the key'
}

# Writes $2 bytes that are derived from the key $1 (in hex) for the purpose $3: HKDF-Expand with SHA-512 (RFC 5869).
expand() {
  printf '%s\n' "$1" |
    openssl pkeyutl -kdf HKDF -kdflen "$2" -pkeyopt md:SHA512 -pkeyopt mode:EXPAND_ONLY \
      -pkeyopt_passin hexkey:stdin -pkeyopt "info:coffer-1 $3"
}

# Functions for awk: the value of two hex digits, and the exclusive or (XOR) of two bytes.
# shellcheck disable=SC2016
hex_functions='
  function value(hex) {
    return 16 * (index("0123456789abcdef", substr(hex, 1, 1)) - 1) + index("0123456789abcdef", substr(hex, 2)) - 1
  }
  function exclusive_or(a, b,   bit, result) {
    for (bit = 1; bit < 256; bit *= 2)
      if (int(a / bit) % 2 != int(b / bit) % 2) result += bit
    return result + 0
  }'

# Sets inner and outer, for the MAC of the member $1, and key and counter, for its decryption (see derive_keys).
derive_member_keys() {
  derive_keys "$series_key" "mac $id $1" 48 "enc $id $1"
}

# Derives keys from the key $1. Sets inner and outer from 64 bytes for the purpose $2; and key (32 bytes, in hex) and
# counter (the rest, in hex) from $3 bytes for the purpose $4. inner and outer are what HMAC (RFC 2104) puts before the
# two texts that it hashes: the key, padded to 128 bytes with zeros, xor 0x36 and xor 0x5c. They are escapes for printf.
# HMAC is computed in this way because `openssl dgst -macopt` would have the key among its arguments.
derive_keys() {
  keys=$({ expand "$1" 64 "$2" && expand "$1" "$3" "$4"; } | od -An -v -tx1 | awk -v more="$3" "$hex_functions"'
    function block(pad,   i, text) {
      for (i = 0; i < 128; i++) text = text sprintf("\\0%03o", exclusive_or(i < 64 ? value(byte[i]) : 0, pad))
      return text
    }
    function hex(from, to,   i, text) {
      for (i = from; i < to; i++) text = text byte[i]
      return text
    }
    { for (i = 1; i <= NF; i++) byte[bytes++] = $i }
    END { if (bytes == 64 + more) print block(54), block(92), hex(64, 96), hex(96, bytes) }')
  [ -n "$keys" ] || die $FAILED 'openssl cannot derive a key'
  inner=${keys%% *} keys=${keys#* }
  outer=${keys%% *} keys=${keys#* }
  key=${keys%% *} counter=${keys#* }
}

# Sets mac to the MAC (HMAC-SHA-512, in hex) of $work/part under the keys that were derived last.
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

check_header() {
  read -r name size block <"$work/index"
  fetch "$name" "$size" "$block" || die $FAILED "$problem"
  read -r stated <"$work/macs"
  derive_member_keys backup-header
  compute_mac
  [ "$mac" = "$stated" ] || damaged 'its header was damaged or tampered with'
}

### Parts ###

# Copies the content of the member $1, of $2 bytes, whose tar header is in block $3, to $work/part. If it cannot be read,
# fails, and sets problem, and blame to the exit status for it.
fetch() {
  blocks_from "$(($3 + 1))" | head -c "$2" | save part || exit $FAILED
  [ "$(wc -c <"$work/part")" -eq "$2" ] && return
  problem="$1 cannot be read from the disk with the backup" blame=$FAILED
  return 1
}

# The same, and also fails unless its MAC is $4.
fetch_checked() {
  fetch "$1" "$2" "$3" || return 1
  derive_member_keys "$1"
  compute_mac
  [ "$mac" != "$4" ] || return 0
  # That can look the same.
  has_room "$work" || no_space
  problem="$1 was damaged or tampered with" blame=$DAMAGED
  return 1
}

# Writes the plaintext of $work/part, which has been verified, to standard output.
decrypt() {
  if [ "$encrypted" = False ]; then
    cat "$work/part"
  else
    openssl enc -d -aes-256-ctr -K "$key" -iv "$counter" -in "$work/part"
  fi 2>/dev/null
}

decompress() {
  if [ "$filter" = none ]; then cat; else "$filter" -d -c; fi
}

# Verifies and decrypts the members of the file $1, and writes their contents to descriptor 4. Its $2 members, of $3
# bytes in total, are the next lines on descriptor 3. Stops early when nothing reads from descriptor 4. Fails if a member
# is damaged (see fetch_checked).
feed() {
  fed=0 fed_bytes=0
  while [ "$fed" -lt "$2" ]; do
    read -r name size block stated <&3
    fetch_checked "$name" "$size" "$block" "$stated" || return 1
    decrypt >&4 || return 0
    fed=$((fed + 1)) fed_bytes=$((fed_bytes + size))
    [ "$2" -eq 1 ] || show_progress "$1: $((fed_bytes / 1048576)) of $(($3 / 1048576)) MiB"
  done
}

# Only on a terminal: on one line, which the next call overwrites.
show_progress() {
  [ -t 2 ] || return 0
  progress=shown
  printf '\r%s ' "$1" >&2
}

end_progress() {
  [ -z "$progress" ] || printf '\r%70s\r' '' >&2
  progress=''
}

### The manifest and qubes.xml ###

# Dies unless the members that index_members found are those of the manifest. This lists every member with its MAC,
# except the parts of volumes, which are in order: of those it has the number and the length. Later, files are looked up
# in $work/manifest.
check_manifest() {
  read -r name size block <<END
$(tail -n 2 "$work/index")
END
  [ "$name" = manifest.000 ] || damaged "it is incomplete: there is no manifest at its end; $by_hand"
  expect_members | save expected || exit $FAILED
  case $(tail -n 1 "$work/expected") in
    end) ;;
    'bad path '*)
      path=$(sed -n 's/^bad path //p' "$work/expected")
      die $DAMAGED "the backup contains $path, a path that coffer never writes"
      ;;
    'bad '*) damaged "a member is not where it should be; $by_hand" ;;
    *) die $FAILED 'awk cannot read the list of members' ;;
  esac
  printf '%s\n' "manifest 1 $size" "$name $size $block $(tail -n 1 "$work/macs")" | save wanted ||
    exit $FAILED
  unpack_wanted manifest 67108864
  read_manifest | save listed || exit $FAILED
  cmp -s "$work/listed" "$work/expected" && return
  differing=$(awk '
    FNR == NR { expected[FNR] = $0; next }
    $0 != expected[FNR] { if ($1 == "member") print $2; exit }' "$work/expected" "$work/listed")
  damaged "it does not agree with its manifest, first at ${differing:-the end}; $by_hand"
}

# Writes the lines that the manifest must have for the members in $work/index; or `bad` and what is wrong. Only paths
# that coffer writes are allowed: none of those can lead out of a directory, look like an option or lie inside another.
expect_members() {
  awk -v macs="$work/macs" -v part_size="$part_size" '
    function bad(what) { print "bad", what; failed = 1; exit 1 }
    function end_of_parts() { if (parts > 0 && !told) { print "parts", parts, length_of_parts; told = 1 } }
    BEGIN { OFMT = CONVFMT = "%.0f"; most = part_size + 4096 + part_size / 128 + 4096 }
    NF != 3 { next }
    (getline mac <macs) != 1 || length(mac) != 128 || mac ~ /[^0-9a-f]/ { bad("MAC") }
    $1 == "manifest.000" { next }
    NR > 1 && $2 > most { bad("size") }
    {
      new_path = $1
      sub(/\.[0-9]+$/, "", new_path)
      if (new_path != path) {
        path = new_path
        count = 0
        is_data = path ~ /^((from|trimmed)\/[0-9a-f]+\/)?data$/
        if (!is_data && path !~ /^(backup-header|qubes\.xml|vm[0-9]+\/((firewall\.xml|notes\.txt|empty|incomplete\.txt)|[A-Za-z0-9_-]+\.map)|dom0-home\/(home|paths)|parts|ids)$/)
          bad("path " path)
        # Moved and trimmed parts of the same file may alternate.
        if (path in seen && path !~ /^(from|trimmed)\//) bad("order")
        seen[path] = 1
      }
      # Parts that were first stored in another file keep their numbers there, which are in the table of parts.
      if (NR > 1 && path !~ /^(from|trimmed)\// && $1 != sprintf("%s.%03d", path, count)) bad("order")
      count++
    }
    is_data {
      parts++
      length_of_parts += 512 * (3 + int(($2 + 511) / 512))
      next
    }
    { end_of_parts(); print "member", $1, $2, mac }
    END {
      if (failed) exit 1
      if ((getline mac <macs) > 0) bad("MAC")
      end_of_parts()
      if (!told) print "parts 0 0"
      print "end"
    }' "$work/index"
}

# Writes the lines of the manifest that expect_members writes too; only some of them, if it is not a manifest of this
# series, or not as coffer writes it. So the rest of it is safe to show, and names no file that is not there.
read_manifest() {
  awk -v series="$series" '
    NR == 1 && $0 != "coffer-1 manifest" { exit }
    NR == 2 && ($1 != "series" || $2 != series) { exit }
    NR == 3 && $0 !~ /^made [0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]Z$/ { exit }
    $1 == "member" || $1 == "parts" { print }
    $1 == "member" { path = $2; sub(/\.[0-9]+$/, "", path); there[path] = 1 }
    $1 == "file" && ($2 ~ /\.(img|map)$/ || !($2 in there)) { exit }
    $1 == "volume" { path = $2; if (sub(/\.img$/, ".map", path) != 1 || !(path in there)) exit }
    ($1 == "file" || $1 == "volume") && ($3 !~ /^(0|[1-9][0-9]*)$/ || length($3) > 15) { exit }
    $1 == "total" { print "end" }' "$work/manifest"
}

# Unpacks the file $1, of $2 bytes at most, to $work/$1. Its members are listed in $work/wanted, first of all.
unpack_wanted() {
  exec 3<"$work/wanted"
  read -r path parts bytes <&3
  collect "$path" "$parts" "$bytes" || die "$blame" "$problem"
  exec 3<&-
  unpack_small "$1" "$2" "$work/$1"
}

# Writes the file $1, decrypted but still compressed, to $work/small. Its $2 members, of $3 bytes in total, are the next
# lines on descriptor 3. Fails if a member is damaged (see fetch_checked).
collect() {
  feed "$1" "$2" "$3" 4>"$work/small" || return 1
  end_progress
  [ "$(wc -c <"$work/small")" -eq "$3" ] || no_space
}

# Decompresses $work/small, which is the file $1, to the file $3: $2 bytes at most.
unpack_small() {
  failed=$({
    { decompress <"$work/small" || echo "$filter" >&3; } |
      head -c "$2" |
      { cat >"$3" || echo space >&3; }
  } 3>&1 2>"$work/problem")
  case $failed in
    '') ;;
    *space*)
      has_room "$work" || no_space
      not_unpacked "$1"
      ;;
    *)
      has_room "$work" || no_space
      die $FAILED "$1 is authentic, but cannot be unpacked: $(tail -n 1 "$work/problem")"
      ;;
  esac
  rm "$work/small"
}

# Dies if anything but zeros follows the backup. Zeros are accepted, since a raw disk, or a copy in whole blocks, has
# them; other bytes are not damage, but do not belong to it. Like coffer, this looks no further than 64 MiB.
check_what_follows() {
  end=$((end + 2)) farthest=67108864
  [ "$(blocks_from "$end" | head -c $farthest | tr -d '\000' | head -c 1 | wc -c)" -ne 0 ] || return 0
  following=$(($(blocks_from "$end" | head -c $farthest | wc -c)))
  case $following in
    1) following='1 byte' ;;
    "$farthest") following="$following bytes or more" ;;
    *) following="$following bytes" ;;
  esac
  die $DAMAGED "the backup is complete, but followed by $following that do not belong to it:" \
    "its first $((512 * end)) bytes are the backup, \`head -c $((512 * end))\` copies them"
}

# Writes to $work/vms, from qubes.xml, which is verified: a line `vm directory name` for each VM, `created time`, and
# `end`.
read_vms() {
  echo qubes.xml | save chosen || exit $FAILED
  choose_parts
  read -r path _ <"$work/wanted"
  [ "${path-}" = qubes.xml ] || damaged 'it has no qubes.xml'
  # coffer accepts no qubes.xml of more than 16 MiB.
  unpack_wanted qubes.xml 16777216
  awk '
    function value() { return substr($0, index($0, ">") + 1) }
    BEGIN { RS = "<" }
    /^domain / { name = path = "" }
    /^property name="name">/ { name = value() }
    /^feature name="backup-path">/ { path = value(); sub(/\/$/, "", path) }
    /^feature name="backup-created">/ { if (value() ~ /^[0-9TZ:.+-]+$/) print "created", value() }
    /^feature name="backup-dom0-paths">/ { path = "dom0-home/paths" }
    /^\/domain>/ && path != "" {
      # The home of dom0, and the chosen paths of its configuration.
      if (sub(/^dom0-home\/.*/, "dom0-home", path) && name == "") name = "dom0"
      if ((path " " name) ~ /^[A-Za-z0-9_.\/-]+ [A-Za-z0-9_.-]+$/) print "vm", path, name
    }
    # So the list is never empty: the awk programs that read it first (FNR == NR) rely on that.
    END { print "end" }' "$work/qubes.xml" | save vms || exit $FAILED
  [ "$(tail -n 1 "$work/vms")" = end ] || die $FAILED 'awk cannot read qubes.xml'
}

### A directory ###

# Lists the backups in the directory $backup, oldest first.
list_directory() {
  directory=$backup
  read_passphrase
  : >"$work/dates" || no_space
  mkdir "$work/other" || no_space
  number=0 opened='' skipped='' unopened=''
  for file in "$directory"/*; do
    number=$((number + 1))
    is_backup "$file" || continue
    link_file "$file" $number
    backup=$work/file.$number
    (look_at_backup) 2>"$work/reason" || {
      pass_over $?
      continue
    }
    index_members
    read_header
    # All files of a series have the same key.
    if [ "$series $wrapped" != "$opened" ]; then
      opened=''
      if ! derive_root_key || ! open_series; then
        echo "$problem" | save reason || exit $FAILED
        unopened=$DAMAGED
        pass_over ''
        continue
      fi
      opened="$series $wrapped"
    fi
    (date_backup) 2>"$work/reason" || pass_over $?
  done
  end_progress
  [ -s "$work/dates" ] || die "${skipped:-${unopened:-$FAILED}}" "there is no backup in $directory that can be opened with this passphrase"
  printf 'The backups in %s, complete by their manifests. Their contents were not checked.\n' "$directory"
  sort "$work/dates" | while read -r made each; do printf '%s  %s\n' "$made" "$(name_of "$each")"; done
  # A backup with another passphrase is not a damaged one.
  [ -z "$skipped" ] || exit "$skipped"
}

# Whether the file $1 claims to be a backup in the format coffer-1; nothing of that is verified.
is_backup() {
  if [ ! -f "$1" ] || [ ! -r "$1" ]; then return 1; fi
  case $(head -c 4096 <"$1" | tr -cd '\040-\176\n') in
    *'format=coffer-1
'*'
kind=backup
'*) ;;
    *) return 1 ;;
  esac
}

# Reports that the file number $number is skipped: $work/reason says why, and $1 is the exit status for it, if any.
pass_over() {
  skipped=${1:-$skipped}
  tell "$(name_of "$number") is skipped: $(sed 's/^recover.sh: //' "$work/reason" | tail -n 1)"
}

# Dies if the file is not a backup after all. To be run in a subshell, as it changes $work.
look_at_backup() {
  work=$work/other
  index_members
  read_header
}

# Writes a line `time number` to $work/dates. To be run in a subshell, as it dies if the backup is damaged.
date_backup() {
  check_header
  check_manifest
  printf '%s %s\n' "$(sed -n '3s/^made //p' "$work/manifest")" "$number" >>"$work/dates"
}

### What the user asked for ###

list_files() {
  created=$(sed -n 's/^created //p' "$work/vms" | head -n 1)
  printf 'A backup%s, complete by its manifest. The files'\'' contents were not checked.\n' \
    "${created:+ of $created}"
  awk '
    FNR == NR { if ($1 == "vm") name[$2] = $3; next }
    $1 != "file" && $1 != "volume" { next }
    {
      directory = $2
      if (!($2 in name)) sub(/\/[^\/]*$/, "", directory)
      printf "%-28s %15s bytes   %s\n", $2, $3, name[directory]
    }' "$work/vms" "$work/manifest"
}

recover_files() {
  shift $((OPTIND - 1))
  shift 2
  choose_files "$@"
  choose_parts
  mkdir -p "$output" 2>/dev/null || cannot_write "the directory $output cannot be made" .
  while read -r path <&3; do
    if [ -e "$output/$path" ] || [ -L "$output/$path" ]; then
      die $FAILED "$output/$path exists already: choose another directory, or other files"
    fi
  done 3<"$work/chosen"
  mkfifo "$work/stream" || no_space
  incomplete='' lost=''
  if [ -n "$(sed -n '/\.img$/p' "$work/chosen")" ]; then find_parts; fi
  exec 3<"$work/wanted"
  while read -r path parts bytes rest <&3; do
    # After a damaged member, the others of its file.
    [ -z "$rest" ] || continue
    recover_file "$path" "$parts" "$bytes"
  done
  [ -z "$lost" ] || exit $DAMAGED
  [ -z "$incomplete" ] || exit $FAILED
}

# Writes the paths of the files that the arguments select to $work/chosen: all if there are no arguments. With any file
# of a VM that is incomplete goes its incomplete.txt, which says so.
choose_files() {
  awk '
    BEGIN {
      for (i = 3; i < ARGC; i++) {
        what[++wanted] = ARGV[i]
        sub(/\/$/, "", what[wanted])
        ARGV[i] = ""
      }
    }
    FNR == NR { if ($1 == "vm") directory[$3] = $2; next }
    $1 != "file" && $1 != "volume" { next }
    wanted == 0 { print $2 }
    {
      for (i = 1; i <= wanted; i++) {
        place = what[i] in directory ? directory[what[i]] : what[i]
        if ($2 != what[i] && $2 != place && index($2, what[i] "/") != 1 && index($2, place "/") != 1) continue
        found[i] = 1
        if (!($2 in chosen)) print $2
        chosen[$2] = 1
      }
      # incomplete.txt comes after the other files of its VM.
      directory_of_it = $2
      sub(/\/[^\/]*$/, "", directory_of_it)
      if ($2 in chosen) of_it[directory_of_it] = 1
      else if ($2 ~ /\/incomplete\.txt$/ && directory_of_it in of_it) print $2
    }
    END { for (i = 1; i <= wanted; i++) if (!(i in found)) print "missing", what[i] }
    ' "$work/vms" "$work/manifest" "$@" | save chosen || exit $FAILED
  case $(tail -n 1 "$work/chosen") in
    missing*)
      missing=$(sed -n 's/^missing //p' "$work/chosen" | head -n 1)
      die $USAGE "there is no $missing in the backup: see what it lists without OUTPUT-DIR"
      ;;
  esac
}

# Writes to $work/wanted, for every file in $work/chosen, a line `path members bytes`, then a line `name size block mac`
# for every member; for a volume, those of its map. The blocks follow from the order and the sizes in the manifest.
choose_parts() {
  awk -v chosen="$work/chosen" '
    BEGIN {
      OFMT = CONVFMT = "%.0f"
      while ((getline path <chosen) > 0) {
        stored_as = path
        sub(/\.img$/, ".map", stored_as)
        wanted[stored_as] = path
      }
    }
    $1 != "member" && $1 != "parts" { next }
    { path = $2; sub(/\.[0-9]+$/, "", path) }
    FNR == NR { if ($1 == "member") { count[path]++; bytes[path] += $3 }; next }
    $1 == "parts" { block += $3 / 512; next }
    {
      if (path in wanted) {
        if ($2 == path ".000") print wanted[path], count[path], bytes[path]
        print $2, $3, block + 0, $4
      }
      # Its tar header and its bytes, then the same for its .hmac.
      block += 1 + int(($3 + 511) / 512) + 2
    }' "$work/manifest" "$work/manifest" | save wanted || exit $FAILED
}

# Writes to $work/data where the parts of volumes are: in this file, and in the other files of its series that it needs.
# A line for each: `birth number id name size block mac chunks encrypted filter file mask`. birth is the id of the file
# that it was first stored in, as its part `number`; its keys are those of the member `name` of the file `id`; `file` is
# the number of the link (link_file) to the file that it is in now; the mask is explained in read_table.
find_parts() {
  : >"$work/data" || no_space
  mkdir "$work/other" || no_space
  link_file "$backup" 0
  read_table 0
  needed=$(sed -n 's/^needs \([0-9a-f]*\) .*/\1/p' "$work/manifest")
  [ -n "$needed" ] || return 0
  number=0
  : >"$work/claims" || no_space
  for file in "${backup%/*}"/*; do
    number=$((number + 1))
    note_claim "$file" $number
  done
  for wanted_id in $needed; do
    read_others "$wanted_id" backup
    read_others "$wanted_id" data
  done
  # Parts of a file that was deleted since are in packs.
  found=$(awk '!($1 in seen) { seen[$1] = 1; print $1 }' "$work/data")
  for wanted_id in $needed; do
    case $found in *"$wanted_id"*) ;; *) read_others '' pack && return ;; esac
  done
}

# Makes a link $work/file.$2 to the file $1, whose name could be anything, and writes that name, made printable, to
# $work/name.$2.
link_file() {
  case $1 in /*) ln -s "$1" "$work/file.$2" ;; *) ln -s "$PWD/$1" "$work/file.$2" ;; esac || no_space
  printf '%s\n' "${1##*/}" | tr -cd '\040-\176' | save "name.$2" || exit $FAILED
}

# Adds a line `id kind number` to $work/claims, and makes the link number $2, if the file $1 claims to be of this
# series. Nothing of that is verified.
note_claim() {
  if [ ! -f "$1" ] || [ ! -r "$1" ]; then return; fi
  claim=$(head -c 4096 <"$1" | tr -cd '\040-\176\n' | awk -v series="$series" -v number="$2" '
    { sub(/^.*format=/, "format=") }
    $0 == "format=coffer-1" { ours = 1 }
    sub(/^backup-id=/, "") && id == "" { id = $0 }
    sub(/^series-id=/, "") && of == "" { of = $0 }
    sub(/^kind=/, "") && kind == "" { kind = $0 }
    END {
      if (ours && of == series && length(id) == 32 && id !~ /[^0-9a-f]/ && kind ~ /^(backup|data|pack)$/)
        print id, kind, number
    }')
  [ -n "$claim" ] || return 0
  printf '%s\n' "$claim" >>"$work/claims" || no_space
  link_file "$1" "$2"
}

# Adds the parts in other files of the series to $work/data: in files of the kind $2 with the id $1, or with any id if
# $1 is empty. A file that is damaged, or not what it claims, is skipped, which is reported.
read_others() {
  while read -r claimed_id claimed_kind claimed <&3; do
    if [ -n "$1" ] && [ "$claimed_id" != "$1" ]; then continue; fi
    if [ "$claimed_kind" != "$2" ] || [ "$claimed_id" = "$id" ]; then continue; fi
    (read_other "$claimed" 3<&-) && continue
    tell "a file of the series, $(name_of "$claimed"), was passed over"
  done 3<"$work/claims"
}

# To be run in a subshell, as it reads the file number $1 as if that were the backup.
read_other() {
  main_work=$work main_series=$series main_grain=$grain
  backup=$work/file.$1 work=$work/other
  index_members
  read_header
  if [ "$series" != "$main_series" ] || [ "$grain" != "$main_grain" ]; then damaged 'it is of another series'; fi
  check_header
  check_manifest
  read_table "$1"
  cat "$work/data" >>"$main_work/data" 2>/dev/null || no_space
  rm "$work/data"
}

# Writes the name of the file number $1, in printable characters.
name_of() {
  cat "$work/name.$1"
}

# Adds a line for every part in this file, which is number $1, to $work/data. Dies unless the members are exactly those
# in the file's table of parts, which is verified.
read_table() {
  [ ! -e "$work/wanted" ] || mv "$work/wanted" "$work/wanted.all" || no_space
  [ ! -e "$work/chosen" ] || mv "$work/chosen" "$work/chosen.all" || no_space
  echo parts | save chosen || exit $FAILED
  choose_parts
  # A line of about 25 bytes for each part, of which there are at most eight million.
  unpack_wanted parts 268435456
  [ ! -e "$work/wanted.all" ] || mv "$work/wanted.all" "$work/wanted" || no_space
  [ ! -e "$work/chosen.all" ] || mv "$work/chosen.all" "$work/chosen" || no_space
  awk -v macs="$work/macs" -v table="$work/parts" -v id="$id" -v how="$encrypted $filter $1" '
    function bad() { print "bad"; exit }
    function ones(text) { return gsub(/1/, "", text) }
    # The mask of a trimmed part has a digit for each of its original chunks: 1 if it was kept. Otherwise the mask is -.
    function note(born_in, part_number, part_size, part_chunks, stored_as, part_mask) {
      if (part_number !~ /^[0-9]+$/ || part_chunks !~ /^[0-9]+$/ || part_chunks > 32) bad()
      if (part_mask !~ /^(-|[01]+)$/ || length(part_mask) > 32) bad()
      mask[rows + 0] = part_mask
      birth[rows + 0] = born_in
      number[rows + 0] = part_number
      size[rows + 0] = part_size
      chunks[rows + 0] = part_chunks
      name[rows++] = stored_as
    }
    BEGIN {
      OFMT = CONVFMT = "%.0f"
      while ((getline line <table) > 0) {
        split(line, field, " ")
        if (field[1] == "from") from = field[2]
        if (field[1] == "moved") note(from, field[2], field[3], field[4], sprintf("from/%s/data.%03d", from, field[2]), "-")
        if (field[1] == "trimmed") note(from, field[2], field[3], ones(field[4]), sprintf("trimmed/%s/data.%03d", from, field[2]), field[4])
        if (field[1] == "part") note(id, own + 0, field[2], field[3], sprintf("data.%03d", own++), "-")
      }
    }
    NF != 3 { next }
    { getline mac <macs }
    $1 !~ /^((from|trimmed)\/[0-9a-f]+\/)?data\.[0-9]+$/ { next }
    !(row + 0 in size) || size[row + 0] != $2 || name[row + 0] != $1 { bad() }
    {
      # A part keeps the keys that it was first stored with; but a trimmed one has been stored anew, with keys of this
      # file.
      sealed_as = mask[row + 0] == "-" ? birth[row + 0] " " sprintf("data.%03d", number[row + 0]) : id " " $1
      print birth[row + 0], number[row + 0], sealed_as, $2, $3, mac, chunks[row + 0], how, mask[row + 0]
      row++
    }
    END { if (row + 0 == rows + 0) print "end" }' "$work/index" | save table || exit $FAILED
  [ "$(tail -n 1 "$work/table")" = end ] || damaged "its parts are not those that its table tells of; $by_hand"
  sed '$d' "$work/table" >>"$work/data" 2>/dev/null || no_space
  rm "$work/table"
}

# Unpacks the file $1, of $2 members and $3 bytes, below <file>.partial, and moves it to its place once it is
# complete. Its members are the next lines on descriptor 3.
recover_file() {
  target=$output/$1
  { mkdir -p "${target%/*}" && mkdir "$target.partial"; } 2>/dev/null ||
    cannot_write "$target.partial cannot be made: if an earlier recovery left it, remove it" "$output"
  partial=$target.partial
  : 2>/dev/null >"$work/problem" || no_space
  blame=''
  case $1 in
    dom0-home/*) recover_home "$@" ;;
    *.img) recover_volume "$@" ;;
    *) recover_small "$@" ;;
  esac
  remove_partial
  # Other files may be whole.
  [ -z "$blame" ] || tell "$1 was not recovered: $problem"
  case $blame in
    "$DAMAGED") lost=yes ;;
    "$FAILED") incomplete=yes ;;
  esac
}

recover_small() {
  collect "$@" || return 1
  make_parent "$1"
  unpack_small "$1" 67108864 "$partial/$1"
  settle_file "$1"
}

make_parent() {
  case $1 in */*) mkdir -p "$partial/${1%/*}" 2>>"$work/problem" || not_unpacked "$1" ;; esac
}

# Assembles the volume $1 from its parts according to its map, whose members are the next lines on descriptor 3.
recover_volume() {
  collect "$@" || return 1
  # A line of about 40 bytes for each of at most eight million runs.
  unpack_small "the map of $1" 402653184 "$work/map"
  plan_volume "$1" | save plan || exit $FAILED
  case $(tail -n 1 "$work/plan") in
    end) ;;
    'missing '*)
      lost=yes
      tell "$1 was not recovered: parts of it lie in another file of its series, which is not there or damaged" \
        "(its backup-id is $(sed -n 's/^missing //p' "$work/plan"))"
      return
      ;;
    *) die $DAMAGED "the map of $1 is authentic, but not valid" ;;
  esac
  make_parent "$1"
  : 2>>"$work/problem" >"$partial/$1" || not_unpacked "$1"
  exec 7<"$work/plan"
  read -r _ size all <&7
  written=0
  while read -r what one two three rest <&7; do
    case $what in
      part) open_part "$one" "$two" "$three" "$rest" || return 1 ;;
      run)
        write_run "$1" "$one" "$two" "$three"
        written=$((written + two))
        show_progress "$1: $((written * grain / 1048576)) of $((all * grain / 1048576)) MiB"
        ;;
    esac
  done
  exec 7<&-
  end_progress
  # Sets the volume's size: the last chunk may be padded, and zeros at the end are in no chunk.
  { dd if=/dev/null of="$partial/$1" bs=1 count=0 seek="$size"; } 2>>"$work/problem" || not_unpacked "$1"
  settle_file "$1"
}

# Writes the steps that assemble the volume $1: `size bytes chunks`; then for each part, in the order of $work/data,
# `part` and its line there, and for each run from it `run first count offset` (chunk of the volume, number of chunks,
# chunk of the part); and `end`. Or `missing id`, if parts of the file with that backup-id were not found.
plan_volume() {
  awk -v path="$1" -v grain="$grain" -v own="$id" -v map="$work/map" '
    function bad() { failed = 1; exit }
    function is_number(text) { return text ~ /^(0|[1-9][0-9]*)$/ && length(text) < 16 }
    function ones(text) { return gsub(/1/, "", text) }
    BEGIN { OFMT = CONVFMT = "%.0f" }
    # Whether the part in row `place` has all of these chunks.
    function has(place, offset, count) {
      if (mask[place] == "-") return offset + count <= chunks[place]
      return ones(substr(mask[place], offset + 1, count)) == count
    }
    FILENAME != map {
      data[++rows] = $0
      chunks[rows] = $8 + 0
      mask[rows] = $NF
      # A part may be in several files, each with other chunks of it.
      if (($1 " " $2) in row) {
        for (place = row[$1 " " $2]; place in next_row; place = next_row[place]);
        next_row[place] = rows
      } else row[$1 " " $2] = rows
      next
    }
    FNR == 1 { if ($0 != "coffer-1 map") bad(); next }
    FNR == 2 { if ($0 != "volume " path) bad(); next }
    FNR == 3 { if ($1 != "size" || !is_number($2) || $2 / grain > 8388608) bad(); size = $2; next }
    FNR == 4 { if ($0 != "grain " grain) bad(); next }
    FNR == 5 { if ($1 != "domain") bad(); next }
    FNR == 6 { if ($1 != "origin") bad(); next }
    ended { bad() }
    $1 == "backup" { if ($2 != backups + 0 || length($3) != 32 || $3 ~ /[^0-9a-f]/) bad(); id[backups++] = $3; next }
    $1 == "run" {
      if (NF != 6 || !is_number($2) || !is_number($3) || !($4 in id) || !is_number($5) || !is_number($6)) bad()
      if ($2 + 0 < next_chunk || $3 < 1 || ($2 + $3 - 1) * grain >= size) bad()
      next_chunk = $2 + $3
      all += $3
      if (!((id[$4] " " $5) in row)) {
        if (id[$4] == own) bad()
        missing = id[$4]
        next
      }
      place = row[id[$4] " " $5]
      while (!has(place, $6, $3) && place in next_row) place = next_row[place]
      if (!has(place, $6, $3)) {
        if (mask[place] == "-") bad()
        missing = id[$4]
        next
      }
      from = mask[place] == "-" ? $6 : ones(substr(mask[place], 1, $6))
      # A list for each part, as there may be a million runs in one, and texts that grow would take hours.
      run[++runs] = "run " $2 " " $3 " " from
      if (place in first_run) next_run[last_run[place]] = runs
      else first_run[place] = runs
      last_run[place] = runs
      next
    }
    $1 == "end" { ended = $3 == all + 0; next }
    { bad() }
    END {
      if (failed || !ended) exit
      if (missing != "") { print "missing", missing; exit }
      print "size", size, all + 0
      for (i = 1; i <= rows; i++) {
        if (!(i in first_run)) continue
        print "part", data[i]
        for (each = first_run[i]; each; each = next_run[each]) print run[each]
      }
      print "end"
    }' "$work/data" "$work/map"
}

# Verifies, decrypts and decompresses a part to $work/plain. $1, $2, $3 and the words in $4 are its line of $work/data
# (see find_parts): meanwhile the backup is the file that has the part, and id is that of the file whose keys it has.
# Fails if the part is damaged (see fetch_checked).
open_part() {
  main_backup=$backup main_id=$id main_encrypted=$encrypted main_filter=$filter
  id=$3
  read -r name stored block stated chunks encrypted filter file _ <<END
$4
END
  backup=$work/file.$file
  command -v "$filter" >/dev/null 2>&1 || [ "$filter" = none ] ||
    die $FAILED "the program $filter is needed for this backup, but is not on this system"
  if fetch_checked "$name" "$stored" "$block" "$stated"; then
    length=$((4096 + chunks * grain))
    decrypt | decompress 2>"$work/problem" | head -c $((length + 1)) | save plain || exit $FAILED
    [ "$(wc -c <"$work/plain")" -eq "$length" ] ||
      die $FAILED "$name is authentic, but cannot be unpacked: $(tail -n 1 "$work/problem")"
  elif [ "$file" -ne 0 ]; then
    problem="$problem, in $(name_of "$file"), another file of its series"
  fi
  backup=$main_backup id=$main_id encrypted=$main_encrypted filter=$main_filter
  [ -z "$blame" ]
}

# Writes $3 chunks of $work/plain, from its chunk $4 on, to the volume $1, from its chunk $2 on. What no run covers
# stays a hole.
write_run() {
  # In braces, so that the shell's own message, if a signal ends dd, goes there too.
  {
    dd if="$work/plain" of="$partial/$1" bs=4096 conv=notrunc skip=$((1 + $4 * grain / 4096)) \
      count=$(($3 * grain / 4096)) seek=$(($2 * grain / 4096))
  } 2>>"$work/problem" || not_unpacked "$1"
}

# Unpacks dom0's home, or the chosen paths of its configuration: the file $1, which is a tar archive.
recover_home() {
  : 2>/dev/null >"$work/decompressing" || no_space
  # The pipe is first opened for both reading and writing, as opening only one end would wait for the other.
  exec 5<>"$work/stream"
  exec 4>"$work/stream"
  exec 6<"$work/stream" 5>&-
  {
    exec <&6 2>>"$work/problem" 3<&- 4>&- 6<&-
    { decompress && rm "$work/decompressing"; } | unpack "$1"
  } &
  unpacking=$!
  exec 6<&-
  fed_all=yes
  feed "$@" || fed_all=no
  exec 4>&-
  wait "$unpacking"
  unpacked=$?
  end_progress
  [ "$fed_all" = yes ] || return 1
  if [ -e "$work/decompressing" ] || ! has_room "$partial"; then unpacked=none; fi
  settle_home "$1" "$unpacked"
}

# Unpacks the member $1 of the tar archive on standard input to $partial. Its files belong to the user who runs this,
# and the umask limits their permissions. tar itself makes no file outside of $partial and follows no link that it has
# made.
unpack() {
  tar --extract --file - --no-same-owner --no-same-permissions --directory "$partial" -- "$1"
}

# Moves the file $1 from $partial to its place. If it is incomplete.txt, also reports what it says.
settle_file() {
  has_room "$partial" || not_unpacked "$1"
  move_to_place "$1" "$target"
  case $1 in
    */incomplete.txt)
      incomplete=yes
      tell "${1%/*} is incomplete in this backup: $(head -c 1000 "$target" | tr -cd '\040-\176')"
      ;;
  esac
}

# Moves the directory $1 from $partial to its place, without devices, which do not belong in a home. $2 is the exit
# status of tar, or none if not everything could be decompressed or written. If tar could not create some files, the
# others are kept, under a name that ends in .incomplete.
settle_home() {
  if [ "$2" = none ]; then not_unpacked "$1"; fi
  if [ ! -d "$partial/$1" ] || [ -L "$partial/$1" ]; then not_unpacked "$1"; fi
  find "$partial/$1" \( -type b -o -type c \) -exec rm -f {} \; -exec echo 'a device was left out' \; \
    >>"$work/problem"
  chmod u+rwx "$partial/$1"
  if [ "$2" = 0 ] && [ ! -s "$work/problem" ]; then
    move_to_place "$1" "$target"
  else
    incomplete=yes
    tell "not all of $1 could be unpacked: $(head -n 1 "$work/problem" | tr -cd '\040-\176')"
    move_to_place "$1" "$target.incomplete"
  fi
}

# Moves $partial/$1 to $2, which must not exist, and prints that path.
move_to_place() {
  if [ -e "$2" ] || [ -L "$2" ]; then die $FAILED "$2 exists already"; fi
  mv -- "$partial/$1" "$2" 2>>"$work/problem" || not_unpacked "$1"
  printf '%s\n' "$2"
}

# Dies with the reason why the file $1 could not be written: no space, or the last message in $work/problem.
not_unpacked() {
  has_room "$partial" || die $FAILED "there is no space in $output for $1"
  has_room "$work" || no_space
  case $(cat "$work/problem") in
    *'File too large'* | *'File size limit'*)
      die $FAILED "$1 is too large for the file system of $output (FAT takes 4 GiB at most)"
      ;;
  esac
  die $FAILED "$1 cannot be unpacked to $output: $(tail -n 1 "$work/problem" | tr -cd '\040-\176')"
}

# Dies: says that there is no space in the directory $2, if that is so, or else $1.
cannot_write() {
  if [ -d "$2" ] && [ -w "$2" ] && ! has_room "$2"; then die $FAILED "there is no space in $2"; fi
  die $FAILED "$1"
}

remove_partial() {
  # Directories that their owner cannot write to are made writable, so that their content can be removed.
  find "$partial" -type d ! -perm -700 -exec chmod u+rwx {} \; 2>/dev/null
  rm -rf "$partial"
  partial=''
}

### Endings ###

# Signals are ignored only during the cleanup: one that came while they are ignored would be lost. PIPE: nothing reads the
# output any more.
exit_on_signals() {
  trap 'ignore_signals; exit $INTERRUPTED' INT TERM HUP
  trap 'ignore_signals; exit $FAILED' PIPE
}

ignore_signals() {
  trap '' INT TERM HUP PIPE
}

clean_up() {
  ignore_signals
  end_progress
  # Closes every descriptor that may be the write end of a pipe, so that the processes that read from it end: also
  # standard output (in a function that feeds a pipe), and those that the shell itself may use while it starts a
  # pipeline. After `wait`, nothing writes into the directories any more.
  exec 3<&- 4>&- 5<&- 6<&- 7<&- 8<&- 9<&- >&2
  wait
  [ -z "$partial" ] || remove_partial
  [ -z "$work" ] || rm -rf "$work"
  [ -z "$terminal" ] || stty "$terminal" </dev/tty
}

tell() {
  end_progress
  printf 'recover.sh: %s\n' "$*" >&2
}

die() {
  status=$1
  shift
  tell "$*"
  exit "$status"
}

die_of_usage() {
  printf '%s\n' "$usage" >&2
  exit $USAGE
}

# Dies because the backup is damaged; but if there is no space for temporary files, which can look the same, says that.
damaged() {
  has_room "$work" || no_space
  die $DAMAGED "the backup is damaged: $*"
}

main "$@"
