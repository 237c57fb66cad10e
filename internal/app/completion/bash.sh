# Completes the commands, flags and values of nemotron-mcp in bash.
_nemotron_mcp() {
  COMPREPLY=()
  local current=${COMP_WORDS[COMP_CWORD]} line
  [ "$current" = "=" ] && current=
  while IFS= read -r line; do
    line=${line%%$'\t'*}
    case $line in
      :files)
        compopt -o filenames 2>/dev/null
        while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$current")
        return ;;
      :folders)
        compopt -o filenames 2>/dev/null
        while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -d -- "$current")
        return ;;
      *=) compopt -o nospace 2>/dev/null ;;
    esac
    COMPREPLY+=("$line")
  done < <("${COMP_WORDS[0]}" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _nemotron_mcp nemotron-mcp
