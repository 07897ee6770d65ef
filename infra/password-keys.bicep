// Puts the first key for passwords into the vault; infra/hooks/postprovision runs it, once.

@description('Required. Name of the Key Vault.')
param vaultName string

@description('Required. Name of the secret.')
param secretName string

@description('Required. The key ring, as PASSWORD_KEYS takes it.')
@secure()
param passwordKeys string

@description('Optional. When the ring is made: a year later the secret expires, and 30 days before that an alert fires.')
param madeAt string = utcNow()

resource vault 'Microsoft.KeyVault/vaults@2026-05-15' existing = {
  name: vaultName
}

resource secret 'Microsoft.KeyVault/vaults/secrets@2026-05-15' = {
  parent: vault
  name: secretName
  properties: {
    contentType: 'PASSWORD_KEYS'
    value: passwordKeys
    // The vault hands out an expired secret all the same: the date is a reminder.
    attributes: { exp: dateTimeToEpoch(dateTimeAdd(madeAt, 'P1Y')) }
  }
}
