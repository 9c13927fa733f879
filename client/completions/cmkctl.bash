# SPDX-License-Identifier: Apache-2.0
# Completion for bash. `cmkctl complete` knows what may come next.

_cmkctl()
{
  local rest=${COMP_LINE:0:COMP_POINT} words=() word candidates prefix

  # bash takes words apart at = and :, too; they belong together where no space is between them.
  for word in "${COMP_WORDS[@]:0:COMP_CWORD + 1}"; do
    [[ ${#words[@]} -eq 0 || $rest == [[:space:]]* ]] && words+=('')
    rest=${rest#"${rest%%[![:space:]]*}"}
    rest=${rest#"$word"}
    words[-1]+=$word
  done
  [[ $word == [=:] ]] && word=
  prefix=${words[-1]%"$word"}

  mapfile -t candidates < <(cmkctl complete -- "${words[@]:1}" 2>/dev/null | cut -f 1)
  case ${candidates[0]-} in
    :files)
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      ;;
    :directories)
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -d -- "$word")
      ;;
    *) COMPREPLY=("${candidates[@]#"$prefix"}") ;;
  esac
}

complete -F _cmkctl cmkctl
