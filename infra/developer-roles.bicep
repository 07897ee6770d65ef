// What a developer or a group may read, on request: data, and the key ring only where that is asked for too.

@description('Required. Object id of whom the roles are given to.')
param principalId string

@description('Required. What principalId is.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param principalType string

@description('Required. Let them read the key ring, with which passwords can be opened.')
param readsKeyRing bool

@description('Required. Name of the Cosmos DB account.')
param cosmosName string

@description('Required. Name of the database.')
param databaseName string

@description('Required. Name of the storage account.')
param storageName string

@description('Required. Name of the container for dead letters.')
param deadLettersName string

@description('Required. Name of the Key Vault.')
param vaultName string

// Ids of built-in roles; they are the same in every tenant.
var roles = {
  cosmosDataReader: '00000000-0000-0000-0000-000000000001'
  keyVaultSecretsUser: '4633458b-17de-408a-b874-0445c86b69e6'
  storageBlobDataReader: '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'
}

resource account 'Microsoft.DocumentDB/databaseAccounts@2026-03-15' existing = {
  name: cosmosName
}

resource storage 'Microsoft.Storage/storageAccounts@2025-08-01' existing = {
  name: storageName
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-08-01' existing = {
  parent: storage
  name: 'default'
}

resource deadLetters 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-08-01' existing = {
  parent: blobs
  name: deadLettersName
}

resource vault 'Microsoft.KeyVault/vaults@2026-05-15' existing = {
  name: vaultName
}

resource data 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2026-03-15' = {
  parent: account
  name: guid(account.id, databaseName, principalId, roles.cosmosDataReader)
  properties: {
    principalId: principalId
    roleDefinitionId: '${account.id}/sqlRoleDefinitions/${roles.cosmosDataReader}'
    scope: '${account.id}/dbs/${databaseName}'
  }
}

resource letters 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(deadLetters.id, principalId, roles.storageBlobDataReader)
  scope: deadLetters
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataReader)
  }
}

resource keyRing 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (readsKeyRing) {
  name: guid(vault.id, principalId, roles.keyVaultSecretsUser)
  scope: vault
  properties: {
    principalId: principalId
    principalType: principalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsUser)
  }
}
