// Puts the first key for passwords into the vault; infra/hooks/postprovision runs it, once.

@description('Required. Name of the Key Vault.')
param vaultName string

@description('Required. Name of the secret.')
param secretName string

@description('Required. The key ring, as PASSWORD_KEYS takes it.')
@secure()
param passwordKeys string

resource vault 'Microsoft.KeyVault/vaults@2026-05-15' existing = {
  name: vaultName
}

resource secret 'Microsoft.KeyVault/vaults/secrets@2026-05-15' = {
  parent: vault
  name: secretName
  properties: {
    contentType: 'PASSWORD_KEYS'
    value: passwordKeys
  }
}
