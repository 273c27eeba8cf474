# Lets `blast start` and `blast load` change this shell. Put `blast hook fish | source` into
# config.fish.
function blast -d 'Python environments that undo and share'
    # The first word that is no option is the command.
    set -l words (string match -v -- '-*' $argv)
    if not contains -- "$words[1]" start load
        command blast $argv
        return
    end
    set -l script (command blast $argv)
    set -l code $status
    # Help and lists come the same way, and are not for running.
    if test $code -eq 0; and string match -q ": 'blast activation script*" -- "$script[1]"
        printf '%s\n' $script | source
        return 0
    end
    test (count $script) -gt 0; and printf '%s\n' $script
    return $code
end
