: 'blast activation script: source this file, or eval "$(blast start NAME)", with the quotes'
#@
#@ For bash, zsh, dash and ksh, also under `set -eu`. Lines that begin with `#@` are the template's
#@ own. `@…@` stands for a quoted literal, @KEY@ for a bare name; the lines between `#@ each` and
#@ `#@ end` are repeated for each variable that an activation sets; those between `#@ shown` and
#@ `#@ end` are for environments that blast has to show, and not for plain files that stand alone.
#@
#@ PATH, PYTHONHOME and the prompt are saved under the names that venv's scripts use, so that
#@ either kind of script can take the place of the other.
#@
#@ What is emitted holds no comment: an eval without quotes makes one line of it, which then is an
#@ error that nobody overlooks, and not a comment that does nothing.

#@ shown
#@ After a reboot nothing is mounted yet.
@BLAST@ view --env @NAME@ >/dev/null </dev/null ||
    printf '%s\n' @COMPLAINT@ >&2
#@ end

if [ -n "${_OLD_VIRTUAL_PATH+set}" ]; then
    case "$(command -v deactivate || true)" in
        deactivate) deactivate nondestructive ;;
    esac
fi

deactivate () {
    if [ -n "${_OLD_VIRTUAL_PATH+set}" ]; then
        PATH="${_OLD_VIRTUAL_PATH}"
        export PATH
        unset _OLD_VIRTUAL_PATH
    fi
    if [ -n "${_OLD_VIRTUAL_PYTHONHOME+set}" ]; then
        PYTHONHOME="${_OLD_VIRTUAL_PYTHONHOME}"
        export PYTHONHOME
        unset _OLD_VIRTUAL_PYTHONHOME
    fi
    if [ -n "${_OLD_VIRTUAL_PS1+set}" ]; then
        PS1="${_OLD_VIRTUAL_PS1}"
        unset _OLD_VIRTUAL_PS1
    fi
#@ each
    if [ -n "${_BLAST_OLD_@KEY@+set}" ]; then
        @KEY@="${_BLAST_OLD_@KEY@}"
        export @KEY@
        unset _BLAST_OLD_@KEY@
    else
        unset @KEY@
    fi
#@ end
#@ The shell remembers where it found programs.
    hash -r 2>/dev/null || true
    if [ "${1:-}" != nondestructive ]; then
        unset -f deactivate
    fi
}

_OLD_VIRTUAL_PATH="${PATH:-}"
#@ shown
#@ After the environment's own programs those of blast: pip, unless it is installed.
PATH=@TOOLS@"${PATH:+:$PATH}"
#@ end
PATH=@BIN@"${PATH:+:$PATH}"
export PATH

unset _OLD_VIRTUAL_PYTHONHOME
if [ -n "${PYTHONHOME+set}" ]; then
    _OLD_VIRTUAL_PYTHONHOME="${PYTHONHOME}"
    unset PYTHONHOME
fi

#@ each
if [ -n "${@KEY@+set}" ]; then
    _BLAST_OLD_@KEY@="${@KEY@}"
else
    unset _BLAST_OLD_@KEY@
fi
@KEY@=@VALUE@
export @KEY@
#@ end

unset _OLD_VIRTUAL_PS1
if [ -n "${PS1:-}" ] && [ -z "${VIRTUAL_ENV_DISABLE_PROMPT:-}" ]; then
    _OLD_VIRTUAL_PS1="${PS1}"
    PS1=@PROMPT@"${PS1}"
fi

hash -r 2>/dev/null || true
