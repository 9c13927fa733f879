# SPDX-License-Identifier: Apache-2.0
# Completion for fish. `cmkctl complete` knows what may come next.

function __cmkctl_complete
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l word (commandline --current-token --cut-at-cursor)
    set -l candidates (cmkctl complete -- $words[2..] "$word" 2>/dev/null)
    set -l option (string match --regex -- '^--[^=]*=' $word; or echo)
    set -l begun (string replace --regex -- '^--[^=]*=' '' $word)
    switch "$candidates[1]"
        case :files
            printf '%s\n' $option(__fish_complete_path "$begun")
        case :directories
            printf '%s\n' $option(__fish_complete_directories "$begun")
        case '*'
            printf '%s\n' $candidates
    end
end

complete --command cmkctl --no-files --keep-order --arguments '(__cmkctl_complete)'
