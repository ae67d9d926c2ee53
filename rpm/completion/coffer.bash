# Bash completion for coffer. The list of commands and options comes from the program itself, at build time.

_coffer() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
  local command='' word options='' choices=''
  COMPREPLY=()
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in
    -*) ;;
    *)
      command=$word
      break
      ;;
    esac
  done
  if [[ -z $command ]]; then
    mapfile -t COMPREPLY < <(compgen -W '@NAMES@ help --help --version' -- "$current")
    return
  fi
  case $command in
    # @CASES@
  *) return ;;
  esac
  case $previous in
  -d | --dest-vm | -x | --exclude)
    mapfile -t COMPREPLY < <(compgen -W "$(_coffer_qubes)" -- "$current")
    return
    ;;
  -p | --passphrase-file)
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
    return
    ;;
  --system)
    mapfile -t COMPREPLY < <(compgen -d -- "$current")
    return
    ;;
  --profile)
    mapfile -t COMPREPLY < <(compgen -W "$(_coffer_profiles)" -- "$current")
    return
    ;;
  esac
  if [[ -n $choices ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$current")
  elif [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options --help" -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -f -- "$current"; compgen -W "$(_coffer_qubes)" -- "$current")
  fi
}

_coffer_qubes() {
  command -v qvm-ls >/dev/null && qvm-ls --raw-list 2>/dev/null
}

_coffer_profiles() {
  local profile
  for profile in /etc/qubes/coffer.d/*.conf; do
    [[ -e $profile ]] || continue
    profile=${profile##*/}
    printf '%s\n' "${profile%.conf}"
  done
}

complete -o filenames -F _coffer coffer
