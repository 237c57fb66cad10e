# Completes the commands, flags and values of nemotron-mcp in PowerShell.
Register-ArgumentCompleter -Native -CommandName 'nemotron-mcp' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements |
        Where-Object { $_.Extent.EndOffset -le $cursorPosition } |
        ForEach-Object { $_.ToString() })
    $program = $words[0]
    $words = @($words | Select-Object -Skip 1)
    # An empty word at the cursor is no element, and PowerShell before 7.3 drops
    # an empty argument: two quotes stand for it.
    if ($wordToComplete -eq '') {
        if ($PSVersionTable.PSVersion -lt [version]'7.3') { $words += '""' } else { $words += '' }
    }
    $found = @(& $program complete -- @words 2>$null)
    if ($found[0] -eq ':files' -or $found[0] -eq ':folders') { return }
    foreach ($line in $found) {
        $word, $meaning = $line -split "`t", 2
        if (-not $meaning) { $meaning = $word }
        [System.Management.Automation.CompletionResult]::new($word, $word, 'ParameterValue', $meaning)
    }
}
