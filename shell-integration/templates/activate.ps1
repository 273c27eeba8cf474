# blast activation script: dot-source this file, or pipe what `blast start` prints into
# `Out-String | Invoke-Expression`.
#@
#@ See activate.sh for how these templates are written.

#@ shown
# After a reboot nothing is mounted yet.
try {
    & @BLAST@ view --env @NAME@ | Out-Null
    $_blast_mounted = $LASTEXITCODE -eq 0
} catch {
    $_blast_mounted = $false
}
if (-not $_blast_mounted) {
    [Console]::Error.WriteLine(@COMPLAINT@)
}
Remove-Variable -Name _blast_mounted
#@ end

if ((Test-Path -Path Function:deactivate) -and (Test-Path -Path Env:VIRTUAL_ENV)) {
    deactivate -NonDestructive
}

# What `deactivate` puts back: null for a variable that there was not.
$global:_BLAST_OLD = @{}

function global:deactivate ([switch]$NonDestructive) {
    if (Test-Path -Path Variable:global:_BLAST_OLD) {
        foreach ($entry in $global:_BLAST_OLD.GetEnumerator()) {
            # Null removes it.
            [Environment]::SetEnvironmentVariable($entry.Key, $entry.Value)
        }
        Remove-Variable -Name _BLAST_OLD -Scope global
    }
    if (Test-Path -Path Function:_OLD_VIRTUAL_PROMPT) {
        Copy-Item -Path Function:_OLD_VIRTUAL_PROMPT -Destination Function:prompt
        Remove-Item -Path Function:_OLD_VIRTUAL_PROMPT
    }
    if (-not $NonDestructive) {
        Remove-Item -Path Function:deactivate
    }
}

$global:_BLAST_OLD['PATH'] = [Environment]::GetEnvironmentVariable('PATH')
#@ shown
$env:PATH = @TOOLS@ + [IO.Path]::PathSeparator + $env:PATH
#@ end
$env:PATH = @BIN@ + [IO.Path]::PathSeparator + $env:PATH

$global:_BLAST_OLD['PYTHONHOME'] = [Environment]::GetEnvironmentVariable('PYTHONHOME')
[Environment]::SetEnvironmentVariable('PYTHONHOME', $null)

#@ each
$global:_BLAST_OLD['@KEY@'] = [Environment]::GetEnvironmentVariable('@KEY@')
[Environment]::SetEnvironmentVariable('@KEY@', @VALUE@)
#@ end

if (-not $env:VIRTUAL_ENV_DISABLE_PROMPT) {
    function global:_OLD_VIRTUAL_PROMPT { '' }
    Copy-Item -Path Function:prompt -Destination Function:_OLD_VIRTUAL_PROMPT
    function global:prompt {
        Write-Host -NoNewline -Object @PROMPT@
        _OLD_VIRTUAL_PROMPT
    }
}
