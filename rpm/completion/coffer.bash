# Bash completion for coffer: the program itself knows how a word can be completed.

_coffer() {
  local words=() word lines=() line current
  # bash treats "=" as a separate word.
  for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
    if ((${#words[@]} > 0)) && [[ $word == = || ${words[-1]} == --*= ]]; then
      words[-1]+=$word
    else
      words+=("$word")
    fi
  done
  current=${words[-1]}
  [[ $current == --*=* ]] && current=${current#*=}
  COMPREPLY=()
  mapfile -t lines < <(coffer complete -- "${words[@]}" 2>/dev/null)
  case ${lines[0]-} in
  :files)
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
    return
    ;;
  :directories)
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -d -- "$current")
    return
    ;;
  esac
  for line in "${lines[@]}"; do
    word=${line%% *}
    [[ $word == --*=* ]] && word=${word#*=}
    COMPREPLY+=("$word")
  done
  # After a directory, the path goes on: do not add a space.
  [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace
  return 0
}

complete -F _coffer coffer
