# Completes the commands, flags and values of nemotron-mcp in fish.
function __nemotron_mcp_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    set -l found ($program complete -- $words $current 2>/dev/null)
    set -l before (string match -r -- '^--[^=]*=' $current)
    set -l value (string replace -r -- '^--[^=]*=' '' $current)
    switch "$found"
        case ':files'
            for path in (__fish_complete_path $value)
                echo "$before$path"
            end
        case ':folders'
            for path in (__fish_complete_directories $value)
                echo "$before$path"
            end
        case '*'
            printf '%s\n' $found
    end
end
complete -c nemotron-mcp -f -a '(__nemotron_mcp_complete)'
