# blast activation script: source this file.
#@
#@ For csh and tcsh. See activate.sh for how these templates are written. There are no functions
#@ here: `deactivate` is a chain of aliases, and `&&` is what keeps a variable that is not set from
#@ being looked at.

#@ shown
# After a reboot nothing is mounted yet.
@BLAST@ view --env @NAME@ >/dev/null </dev/null || printf '%s\n' @COMPLAINT@ >/dev/stderr
#@ end

if ( $?_OLD_VIRTUAL_PATH ) then
    deactivate nondestructive
endif

alias _blast_leave 'test $?_OLD_VIRTUAL_PATH != 0 && setenv PATH $_OLD_VIRTUAL_PATH:q && unset _OLD_VIRTUAL_PATH; test $?_OLD_VIRTUAL_PYTHONHOME != 0 && setenv PYTHONHOME $_OLD_VIRTUAL_PYTHONHOME:q && unset _OLD_VIRTUAL_PYTHONHOME; test $?_OLD_VIRTUAL_PROMPT != 0 && set prompt=$_OLD_VIRTUAL_PROMPT:q && unset _OLD_VIRTUAL_PROMPT'
#@ each
alias _blast_leave_@KEY@ 'test $?_BLAST_OLD_@KEY@ = 0 && unsetenv @KEY@; test $?_BLAST_OLD_@KEY@ != 0 && setenv @KEY@ $_BLAST_OLD_@KEY@:q && unset _BLAST_OLD_@KEY@; unalias _blast_leave_@KEY@'
#@ end
alias deactivate '_blast_leave; @LEAVE_VARIABLES@; rehash; test "\!:*" != nondestructive && unalias deactivate _blast_leave'

set _OLD_VIRTUAL_PATH = $PATH:q
#@ shown
setenv PATH @TOOLS@':'$PATH:q
#@ end
setenv PATH @BIN@':'$PATH:q

if ( $?PYTHONHOME ) then
    set _OLD_VIRTUAL_PYTHONHOME = $PYTHONHOME:q
    unsetenv PYTHONHOME
endif

#@ each
if ( $?@KEY@ ) then
    set _BLAST_OLD_@KEY@ = $@KEY@:q
else
    unset _BLAST_OLD_@KEY@
endif
setenv @KEY@ @VALUE@
#@ end

if ( $?prompt && ! $?VIRTUAL_ENV_DISABLE_PROMPT ) then
    set _OLD_VIRTUAL_PROMPT = $prompt:q
    set prompt = @PROMPT@$prompt:q
endif

rehash
