#compdef nemotron-mcp
# Completes the commands, flags and values of nemotron-mcp in zsh.
_nemotron_mcp() {
  local line word
  local -a described open
  while IFS= read -r line; do
    word=${line%%$'\t'*}
    case $word in
      :files) _files; return ;;
      :folders) _files -/; return ;;
    esac
    local entry=${word//:/\\:}
    [[ $line == *$'\t'* ]] && entry+=":${line#*$'\t'}"
    if [[ $word == *= ]]; then open+=("$entry"); else described+=("$entry"); fi
  done < <("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
  (( $#described )) && _describe nemotron-mcp described
  (( $#open )) && _describe nemotron-mcp open -S ''
}
if [[ $funcstack[1] == _nemotron_mcp ]]; then
  _nemotron_mcp "$@"
else
  compdef _nemotron_mcp nemotron-mcp
fi
