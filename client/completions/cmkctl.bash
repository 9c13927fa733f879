# SPDX-License-Identifier: Apache-2.0
# Completion for bash. Verbs and options come from the help of cmkctl itself, so that they are always those it has.

_cmkctl()
{
  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb= candidate
  local verbs bus=()
  verbs=$(cmkctl --help | awk '/^Options/ { exit } /^  [a-z]/ { print $1 }')

  for candidate in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
    [[ $candidate == --system || $candidate == --session ]] && bus=("$candidate")
    [[ -z $verb && $'\n'$verbs$'\n' == *$'\n'"$candidate"$'\n'* ]] && verb=$candidate
  done

  COMPREPLY=()
  case $previous in
    --in | --out | --material | --encrypted | --token | --public-key | --plaintext)
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    --algorithm)
      mapfile -t COMPREPLY < <(compgen -W 'RSAES_OAEP_SHA_256 RSAES_OAEP_SHA_1 RSAES_PKCS1_V1_5' -- "$word")
      return
      ;;
    --wrapping-spec)
      mapfile -t COMPREPLY < <(compgen -W 'RSA_2048 RSA_3072 RSA_4096' -- "$word")
      return
      ;;
    --origin)
      mapfile -t COMPREPLY < <(compgen -W 'EXTERNAL CMKD_KMS' -- "$word")
      return
      ;;
    --state)
      mapfile -t COMPREPLY < <(compgen -W 'Enabled Disabled PendingImport PendingDeletion' -- "$word")
      return
      ;;
  esac

  if [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(cmkctl ${verb:+"$verb"} --help | awk '$1 ~ /^--/ { print $1 }')" -- "$word")
  elif [[ -z $verb ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$word")
  elif cmkctl "$verb" --help | head -n 1 | grep -q ' KEY'; then
    mapfile -t COMPREPLY < <(compgen -W "$(cmkctl "${bus[@]}" list 2>/dev/null | awk 'NR > 1 { print $1 }')" -- "$word")
  fi
}

complete -F _cmkctl cmkctl
