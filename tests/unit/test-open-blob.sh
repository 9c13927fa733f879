#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# scripts/open-blob opens every vector of docs/ciphertext-format.md, and nothing that was altered. It shares no code
# with the daemon, so this checks the page as well: its derived keys are derived again here.
set -euo pipefail
export LC_ALL=C

root=$(cd "$(dirname "$0")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
count=0

# NAME COMMAND...: one test, passed if the command is true.
check () {
  local name=$1 verdict='not ok'
  shift
  if "$@"; then
    verdict=ok
  fi
  count=$((count + 1))
  echo "$verdict $count /open-blob/$name"
}

hex () { od -An -v -tx1 | tr -d ' \n'; }
bytes () { printf '%b' "$(sed 's/../\\x&/g' <<<"$1")"; }

# BLOB-HEX MATERIAL-HEX PAIR...
open_blob () {
  local blob=$1 material=$2
  shift 2
  bytes "$material" >"$scratch/material"
  bytes "$blob" | openssl base64 -A | "$root/scripts/open-blob" "$scratch/material" "$@" >"$scratch/out" 2>"$scratch/err"
}

opens () {
  local plaintext=$1
  shift
  open_blob "$@" && [[ $(hex <"$scratch/out") = "$plaintext" ]]
}

# Says why, and lets nothing out.
refuses () {
  local reason=$1
  shift
  ! open_blob "$@" && [[ ! -s $scratch/out ]] && grep -q "$reason" "$scratch/err"
}

# HEX OFFSET: with the lowest bit of that byte flipped.
flip () {
  printf '%s%02x%s' "${1:0:$2 * 2}" $((0x${1:$2 * 2:2} ^ 1)) "${1:$2 * 2 + 2}"
}

# KEY LABEL CONTEXT SIZE
derive () {
  openssl kdf -binary -keylen "$4" -kdfopt mode:counter -kdfopt mac:HMAC -kdfopt digest:SHA256 \
    -kdfopt "hexkey:$1" -kdfopt "salt:$2" ${3:+-kdfopt "hexinfo:$3"} KBKDF | hex
}

derives_as_printed () {
  local suite=01 keys="${vector[encryption_key]}${vector[iv]}${vector[mac_key]-}${vector[commitment]}"
  if [[ ${vector[spec]} = SM4 ]]; then
    suite=02
  fi
  [[ $(derive "${vector[material]}" cmkd/v1/message "$suite${vector[key_id]//-/}${vector[salt]}" 32) = \
    "${vector[message_key]}" ]] &&
    [[ $(derive "${vector[message_key]}" cmkd/v1/expand '' $((${#keys} / 2))) = "$keys" ]]
}

test_vector () {
  local blob pairs end tag offset
  blob=$(openssl base64 -d -A <<<"${vector[blob]}" | hex)
  end=$((${#blob} / 2 - 1)) tag=16
  if [[ ${vector[spec]} = SM4 ]]; then
    tag=32
  fi
  IFS=';' read -r -a pairs <<<"${vector[pairs]}"
  local material=${vector[material]} plaintext=${vector[plaintext]}
  local all=("$blob" "$material" ${pairs[@]+"${pairs[@]}"})

  check "$name/keys-are-as-printed" derives_as_printed
  check "$name/opens" opens "$plaintext" "${all[@]}"
  if ((${#pairs[@]} > 1)); then
    check "$name/opens-with-pairs-in-other-order" opens "$plaintext" "$blob" "$material" "${pairs[@]:1}" "${pairs[0]}"
  fi
  if ((${#pairs[@]} > 0)); then
    check "$name/refuses-a-missing-pair" refuses 'not the encryption context' "$blob" "$material" "${pairs[@]:1}"
  fi
  check "$name/refuses-another-pair" refuses 'not the encryption context' "${all[@]}" more=context
  for offset in 69 $((end - tag)) $((end - tag + 1)) $end; do
    check "$name/refuses-byte-$offset-altered" refuses 'was altered' "$(flip "$blob" "$offset")" "${all[@]:1}"
  done
  for offset in 5 20 21 36 37 68; do
    check "$name/refuses-byte-$offset-altered" refuses 'not the material' "$(flip "$blob" "$offset")" "${all[@]:1}"
  done
  for offset in 0 3; do
    check "$name/refuses-byte-$offset-altered" refuses 'not the Base64 of' "$(flip "$blob" "$offset")" "${all[@]:1}"
  done
  check "$name/refuses-a-blob-cut-short" refuses 'was altered\|cut short' "${blob:0:-2}" "${all[@]:1}"
  check "$name/refuses-other-material" refuses 'not the material' "$blob" "$(flip "$material" 0)" "${all[@]:2}"
  check "$name/refuses-material-of-other-size" refuses 'bytes of material' "$blob" "${material}00" "${all[@]:2}"
}

declare -A vector=()
name=
vectors=0
while IFS= read -r line; do
  case $line in
    '['*']') name=${line:1:-1} vector=() ;;
    blob=*)
      vector[blob]=${line#*=}
      vectors=$((vectors + 1))
      test_vector
      ;;
    *=*) vector[${line%%=*}]=${line#*=} ;;
  esac
done < <(sed -n '/^```ini$/,/^```$/p' "$root/docs/ciphertext-format.md")
check 'there-are-vectors' test "$vectors" -ge 4
echo "1..$count"
