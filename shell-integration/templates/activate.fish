: 'blast activation script: source this file, or blast start NAME | source'
#@
#@ See activate.sh for how these templates are written and which names are shared with venv.
#@ Nothing that is emitted is a comment, for the reason given there.

#@ shown
#@ After a reboot nothing is mounted yet.
@BLAST@ view --env @NAME@ >/dev/null </dev/null
or echo @COMPLAINT@ >&2
#@ end

if set -q _OLD_VIRTUAL_PATH; and functions -q deactivate
    deactivate nondestructive
end

function deactivate -d 'Leave the environment of blast'
    if set -q _OLD_VIRTUAL_PATH
        set -gx PATH $_OLD_VIRTUAL_PATH
        set -e _OLD_VIRTUAL_PATH
    end
    if set -q _OLD_VIRTUAL_PYTHONHOME
        set -gx PYTHONHOME $_OLD_VIRTUAL_PYTHONHOME
        set -e _OLD_VIRTUAL_PYTHONHOME
    end
    if set -q _OLD_FISH_PROMPT_OVERRIDE
        set -e _OLD_FISH_PROMPT_OVERRIDE
        if functions -q _old_fish_prompt
            functions -e fish_prompt
            functions -c _old_fish_prompt fish_prompt
            functions -e _old_fish_prompt
        end
    end
#@ Only global variables are ours to change: a universal one comes back by itself.
#@ each
    if set -q _BLAST_OLD_@KEY@
        set -gx @KEY@ $_BLAST_OLD_@KEY@
        set -e _BLAST_OLD_@KEY@
    else
        set -eg @KEY@
    end
#@ end
    if test "$argv[1]" != nondestructive
        functions -e deactivate
    end
    return 0
end

set -g _OLD_VIRTUAL_PATH $PATH
#@ shown
set -gx PATH @TOOLS@ $PATH
#@ end
set -gx PATH @BIN@ $PATH

set -e _OLD_VIRTUAL_PYTHONHOME
if set -qg PYTHONHOME
    set -g _OLD_VIRTUAL_PYTHONHOME $PYTHONHOME
    set -eg PYTHONHOME
end

#@ each
set -e _BLAST_OLD_@KEY@
if set -qg @KEY@
    set -g _BLAST_OLD_@KEY@ $@KEY@
end
set -gx @KEY@ @VALUE@
#@ end

if test -z "$VIRTUAL_ENV_DISABLE_PROMPT"; and functions -q fish_prompt
    functions -q _old_fish_prompt; and functions -e _old_fish_prompt
    functions -c fish_prompt _old_fish_prompt
    function fish_prompt
#@ The prompt may show how the last command ended.
        set -l before $status
        printf '%s%s' (set_color normal) @PROMPT@
        echo "exit $before" | source
        _old_fish_prompt
    end
    set -g _OLD_FISH_PROMPT_OVERRIDE $VIRTUAL_ENV
end
