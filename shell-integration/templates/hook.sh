# Lets `blast start` and `blast load` change this shell. Put `eval "$(blast hook bash)"` (or `zsh`)
# into your shell's start-up file.
blast () {
    # The first word that is no option is the command.
    _blast_command=
    for _blast_word in "$@"; do
        case "$_blast_word" in
            -*) ;;
            *) _blast_command="$_blast_word"; break ;;
        esac
    done
    case "$_blast_command" in
        start | load) unset _blast_command _blast_word ;;
        *) unset _blast_command _blast_word; command blast "$@"; return ;;
    esac
    if _blast_script="$(command blast "$@")"; then
        set -- 0
    else
        set -- "$?"
    fi
    # Help and lists come the same way, and are not for running.
    case "$1 $_blast_script" in
        "0 : 'blast activation script"*) eval "$_blast_script" ;;
        *' ') ;;
        *) printf '%s\n' "$_blast_script" ;;
    esac
    unset _blast_script
    return "$1"
}
