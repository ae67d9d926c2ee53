#compdef coffer
# Zsh completion for coffer: the program itself knows how a word can be completed.

_coffer() {
  local -a lines described paths
  local line word
  lines=("${(@f)$(coffer complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  case $lines[1] in
  :files)
    compset -P '--*='
    _files
    return
    ;;
  :directories)
    compset -P '--*='
    _files -/
    return
    ;;
  '') return 1 ;;
  esac
  for line in $lines; do
    word=${line%% *}
    if [[ $word == */ ]]; then
      paths+=("$word")
    elif [[ $line == *' '* ]]; then
      described+=("${word//:/\\:}:${line#* }")
    else
      described+=("${word//:/\\:}")
    fi
  done
  (( $#paths )) && compadd -S '' -a paths
  (( $#described )) && _describe coffer described
}

if [[ $funcstack[1] == _coffer ]]; then
  _coffer "$@"
else
  compdef _coffer coffer
fi
