#!/usr/bin/env bash
# Presses the tab key in bash, zsh and fish: completion.sh FOLDER, in which the
# program is.
set -euo pipefail
export PATH="$1:$PATH" HOME="$(mktemp -d)" LC_ALL=C
trap 'rm -rf "$HOME"' EXIT
failed=0

# offers SHELL "LINE" WORD...: the words are among what the shell offers there.
offers() {
  local shell=$1 line=$2 got word
  shift 2
  got=$("$shell"_offers "$line")
  for word; do
    if ! grep -qxF -- "$word" <<<"$got"; then
      printf 'FAIL  %s: "%s" does not offer "%s", but:\n%s\n' "$shell" "$line" "$word" "$got"
      failed=1
      return
    fi
  done
  echo "ok    $shell: $line"
}

# The words as bash parts them at "=", and the function that it calls.
bash_offers() {
  bash --norc -c '
    source <(nemotron-mcp completion bash)
    line=${1//=/ = }; read -ra COMP_WORDS <<<"$line"
    [[ $1 == *" " ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    complete -p nemotron-mcp >/dev/null
    _nemotron_mcp
    printf "%s\n" "${COMPREPLY[@]}"' - "$1"
}

fish_offers() {
  fish --no-config -c 'nemotron-mcp completion fish | source; complete -C $argv[1]' -- "$1" | cut -f1
}

# A zsh at a terminal of its own, whose line is read after the tab.
zsh_offers() {
  zsh -f -c '
    zmodload zsh/zpty
    zpty -b z "PS1= TERM=dumb zsh -f -i"
    zpty -w z "autoload -Uz compinit; compinit -u -D; source <(nemotron-mcp completion zsh); unsetopt zle_bracketed_paste 2>/dev/null"
    zpty -w z "zstyle \":completion:*\" list-colors; LISTMAX=0; COLUMNS=400; bindkey \"^I\" complete-word"
    zpty -w z "show() { zle -U \"\"; print -r -- \"<<\$BUFFER>>\"; BUFFER=; zle accept-line }; zle -N show; bindkey \"^X\" show"
    zpty -n -w z "$1"$'"'\t\x18'"'
    local got all
    while zpty -r -m z got "*>>*"; do all+=$got; [[ $all == *"<<nemotron-mcp"*">>"* ]] && break; done
    all=${all##*"<<"}; all=${all%%">>"*}
    print -r -- "${${all% }##* }"
    zpty -d z' - "$1"
}

for shell in bash fish; do
  offers $shell "nemotron-mcp se" serve
  offers $shell "nemotron-mcp jobs re" reconcile
  offers $shell "nemotron-mcp --store=m" $([ $shell = bash ] && echo metadata memory || echo --store=metadata --store=memory)
  offers $shell "nemotron-mcp call queue_" queue_status queue_cancel queue_list
  offers $shell "nemotron-mcp call nemotron_generate reasoning_mode=" $([ $shell = bash ] && echo think no_think || echo reasoning_mode=think reasoning_mode=no_think)
  offers $shell "nemotron-mcp completion " bash zsh fish powershell
  mkdir -p "$HOME/folder of mine"
  cd "$HOME"
  offers $shell "nemotron-mcp --allow-dir fol" "folder of mine$([ $shell = bash ] || echo /)"
done
offers zsh "nemotron-mcp se" serve
offers zsh "nemotron-mcp jobs rec" reconcile
offers zsh "nemotron-mcp --store=me" --store=me
offers zsh "nemotron-mcp call nemotron_generate sys" system_prompt=
exit $failed
