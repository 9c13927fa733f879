/* SPDX-License-Identifier: Apache-2.0
 *
 * The names that logs of TPM commands use: those of the TPM 2.0 Library Specification, Part 3. */
#pragma once

#include <stdint.h>
#include <stdio.h>

#include <tss2/tss2_tpm2_types.h>

/* The name of @code, or its number where no test has needed one. */
static inline void
command_name (TPM2_CC code, char ret_name[32])
{
  static const struct
  {
    TPM2_CC code;
    const char *name;
  } commands[] = {
    { TPM2_CC_ActivateCredential, "ActivateCredential" },
    { TPM2_CC_CertifyCreation, "CertifyCreation" },
    { TPM2_CC_Clear, "Clear" },
    { TPM2_CC_ContextLoad, "ContextLoad" },
    { TPM2_CC_ContextSave, "ContextSave" },
    { TPM2_CC_Create, "Create" },
    { TPM2_CC_CreatePrimary, "CreatePrimary" },
    { TPM2_CC_EvictControl, "EvictControl" },
    { TPM2_CC_FlushContext, "FlushContext" },
    { TPM2_CC_GetCapability, "GetCapability" },
    { TPM2_CC_GetRandom, "GetRandom" },
    { TPM2_CC_GetTestResult, "GetTestResult" },
    { TPM2_CC_HMAC, "HMAC" },
    { TPM2_CC_HMAC_Start, "HMAC_Start" },
    { TPM2_CC_Import, "Import" },
    { TPM2_CC_Load, "Load" },
    { TPM2_CC_NV_DefineSpace, "NV_DefineSpace" },
    { TPM2_CC_NV_Read, "NV_Read" },
    { TPM2_CC_NV_ReadPublic, "NV_ReadPublic" },
    { TPM2_CC_NV_UndefineSpace, "NV_UndefineSpace" },
    { TPM2_CC_NV_Write, "NV_Write" },
    { TPM2_CC_PolicyGetDigest, "PolicyGetDigest" },
    { TPM2_CC_PolicySecret, "PolicySecret" },
    { TPM2_CC_ReadClock, "ReadClock" },
    { TPM2_CC_ReadPublic, "ReadPublic" },
    { TPM2_CC_RSA_Decrypt, "RSA_Decrypt" },
    { TPM2_CC_SelfTest, "SelfTest" },
    { TPM2_CC_SequenceComplete, "SequenceComplete" },
    { TPM2_CC_SequenceUpdate, "SequenceUpdate" },
    { TPM2_CC_Shutdown, "Shutdown" },
    { TPM2_CC_Sign, "Sign" },
    { TPM2_CC_StartAuthSession, "StartAuthSession" },
    { TPM2_CC_Startup, "Startup" },
    { TPM2_CC_TestParms, "TestParms" },
    { TPM2_CC_Unseal, "Unseal" },
  };

  snprintf (ret_name, 32, "0x%x", code);
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
    if (commands[i].code == code)
      snprintf (ret_name, 32, "%s", commands[i].name);
}
