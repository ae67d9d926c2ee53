# Fish completion for coffer: the program itself knows how a word can be completed.

function __coffer_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l lines (coffer complete -- $words[2..-1] 2>/dev/null)
    set -l value (string replace -r '^--[a-z-]+=' '' -- (commandline -ct))
    switch "$lines[1]"
        case :files
            __fish_complete_path $value
        case :directories
            __fish_complete_directories $value ''
        case '*'
            string replace ' ' \t -- $lines
    end
end

complete -c coffer -f -a '(__coffer_complete)'
