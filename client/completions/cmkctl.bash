# SPDX-License-Identifier: Apache-2.0
# Completion for bash. Verbs and options come from the help of cmkctl itself, so that they are always those it has.

_cmkctl_algorithms()
{
  case $1 in
    sign | verify)
      printf 'RSA_%s ' {PSS,PKCS1}_SHA_{256,384,512}
      echo ECDSA_SHA_256 ECDSA_SHA_384 SM2DSA
      ;;
    mac) echo HMAC_SHA_256 HMAC_SHA_384 HMAC_SHA_512 ;;
    asymmetric-encrypt | asymmetric-decrypt) echo RSAES_OAEP_SHA_256 RSAES_OAEP_SHA_1 SM2PKE ;;
    *)
      echo RSAES_OAEP_SHA_256 RSAES_OAEP_SHA_1 RSAES_PKCS1_V1_5 SM2PKE RSA_AES_KEY_WRAP_SHA_256 \
        RSA_AES_KEY_WRAP_SHA_1 RSAES_OAEP_SHA_256_AES_256_ECB_PKCS7_PAD SM2PKE_SM4_ECB
      ;;
  esac
}

# The first column of what @ prints.
_cmkctl_column()
{
  cmkctl "$@" 2>/dev/null | awk 'NR > 1 { print $1 }'
}

# What may stand for KEY; in the Import interface that is an id alone.
_cmkctl_keys()
{
  local verb=$1
  _cmkctl_column "${@:2}" list
  [[ $verb == get-parameters || $verb == import || $verb == delete-material ]] || _cmkctl_column "${@:2}" alias list
}

# What follows `cmkctl alias ... $1`.
_cmkctl_alias()
{
  case $1 in
    alias) echo create update delete list ;;
    create) echo alias/ ;;
    update | delete) _cmkctl_column "${@:2}" alias list ;;
    *) _cmkctl_keys alias "${@:2}" ;;
  esac
}

_cmkctl()
{
  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb= candidate
  local verbs bus=()
  local specs='AES_256 SM4 HMAC_256 HMAC_384 HMAC_512 RSA_2048 RSA_3072 RSA_4096 EC_P256 EC_P384 EC_P256K EC_SM2'
  verbs=$(cmkctl --help | awk '/^Options/ { exit } /^  [a-z]/ { print $1 }')

  for candidate in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
    [[ $candidate == --system || $candidate == --session ]] && bus=("$candidate")
    [[ -z $verb && $'\n'$verbs$'\n' == *$'\n'"$candidate"$'\n'* ]] && verb=$candidate
  done

  COMPREPLY=()
  case $previous in
    --in | --out | --material | --encrypted | --encrypted-private-key | --token | --public-key | --private-key-out | \
      --plaintext | --signature | --verify | --nonce | --credential | --attestation-key | --accept-attestation-key | \
      --credential-secret | --trust)
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    --algorithm)
      mapfile -t COMPREPLY < <(compgen -W "$(_cmkctl_algorithms "$verb")" -- "$word")
      return
      ;;
    --spec)
      [[ $verb == data-key ]] && specs='AES_256 AES_128'
      mapfile -t COMPREPLY < <(compgen -W "$specs" -- "$word")
      return
      ;;
    --usage)
      mapfile -t COMPREPLY < <(compgen -W 'ENCRYPT_DECRYPT SIGN_VERIFY GENERATE_VERIFY_MAC' -- "$word")
      return
      ;;
    --protection-level)
      mapfile -t COMPREPLY < <(compgen -W 'SOFTWARE TPM' -- "$word")
      return
      ;;
    --wrapping-spec)
      mapfile -t COMPREPLY < <(compgen -W 'RSA_2048 RSA_3072 RSA_4096 EC_SM2' -- "$word")
      return
      ;;
    --accept)
      mapfile -t COMPREPLY < <(compgen -W 'tpm-changed rollback-detected' -- "$word")
      return
      ;;
    --origin)
      mapfile -t COMPREPLY < <(compgen -W 'EXTERNAL CMKD_KMS' -- "$word")
      return
      ;;
    --key)
      mapfile -t COMPREPLY < <(compgen -W "$(_cmkctl_keys "$verb" "${bus[@]}")" -- "$word")
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
  elif [[ $verb == verify-attestation ]]; then
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
  elif [[ $verb == alias ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_cmkctl_alias "$previous" "${bus[@]}")" -- "$word")
  elif cmkctl "$verb" --help | head -n 1 | grep -q ' KEY'; then
    mapfile -t COMPREPLY < <(compgen -W "$(_cmkctl_keys "$verb" "${bus[@]}")" -- "$word")
  fi
}

complete -F _cmkctl cmkctl
