// Where things rest: Cosmos DB for flow sets, storage for the Functions host, Key Vault for the key.

@description('Required. Base of the names.')
param name string

@description('Required. Name of the storage account: letters and digits, unique in Azure.')
@minLength(3)
@maxLength(24)
param storageName string

@description('Required. Name of the Key Vault, unique in Azure.')
@minLength(3)
@maxLength(24)
param vaultName string

@description('Required. Azure region.')
param location string

@description('Required. Tags of the resources.')
param tags { *: string }

@description('Required. Cosmos DB billing: serverless or autoscale.')
@allowed(['serverless', 'autoscale'])
param cosmosCapacity string

@description('Required. Upper limit of autoscale in RU/s.')
param cosmosMaxThroughput int

@description('Required. Second Cosmos DB region for failover, or empty. A serverless account has one region only.')
param cosmosSecondRegion string

@description('Required. Spread storage and Cosmos DB over availability zones.')
param zoneRedundant bool

@description('Required. Refuse to purge the deleted vault before its time.')
param purgeProtection bool

@description('Required. Refuse traffic that does not come through a private endpoint.')
param privateNetwork bool

// The emulator creates the same database and containers from the same file.
var containers = loadJsonContent('../shared/resources/containers.json').containers
var databaseName = 'industryData'
var serverless = cosmosCapacity == 'serverless'
var regions = serverless || empty(cosmosSecondRegion) ? [location] : [location, cosmosSecondRegion]
var publicNetworkAccess = privateNetwork ? 'Disabled' : 'Enabled'

resource account 'Microsoft.DocumentDB/databaseAccounts@2026-03-15' = {
  name: 'cosmos-${name}'
  location: location
  tags: tags
  kind: 'GlobalDocumentDB'
  properties: {
    databaseAccountOfferType: 'Standard'
    capabilities: serverless ? [{ name: 'EnableServerless' }] : []
    locations: [
      for (region, index) in regions: {
        locationName: region
        failoverPriority: index
        isZoneRedundant: zoneRedundant
      }
    ]
    enableAutomaticFailover: length(regions) > 1
    consistencyPolicy: { defaultConsistencyLevel: 'Session' }
    backupPolicy: { type: 'Continuous', continuousModeProperties: { tier: 'Continuous7Days' } }
    disableLocalAuth: true
    disableKeyBasedMetadataWriteAccess: true
    minimalTlsVersion: 'Tls12'
    publicNetworkAccess: publicNetworkAccess
  }
}

resource database 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2026-03-15' = {
  parent: account
  name: databaseName
  tags: tags
  properties: {
    resource: { id: databaseName }
    options: serverless ? {} : { autoscaleSettings: { maxThroughput: cosmosMaxThroughput } }
  }
}

resource cosmosContainers 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2026-03-15' = [
  for container in containers: {
    parent: database
    name: container.name
    tags: tags
    properties: {
      resource: {
        id: container.name
        partitionKey: { paths: [container.partitionKey], kind: 'Hash', version: 2 }
        uniqueKeyPolicy: { uniqueKeys: [for paths in container.uniqueKeys: { paths: paths }] }
        indexingPolicy: container.indexingPolicy
      }
    }
  }
]

resource storage 'Microsoft.Storage/storageAccounts@2025-08-01' = {
  name: storageName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS' }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: publicNetworkAccess
    networkAcls: { bypass: 'None', defaultAction: privateNetwork ? 'Deny' : 'Allow' }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-08-01' = {
  parent: storage
  name: 'default'
  properties: {
    deleteRetentionPolicy: { enabled: true, days: 7 }
  }
}

resource deployments 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-08-01' = {
  parent: blobs
  name: 'deployments'
  properties: { publicAccess: 'None' }
}

// The app keeps there what the queue could not process.
resource deadLetters 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-08-01' = {
  parent: blobs
  name: 'dead-letters'
  properties: { publicAccess: 'None' }
}

resource vault 'Microsoft.KeyVault/vaults@2026-05-15' = {
  name: vaultName
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 7
    // The service refuses the value false: protection is on, or it is not mentioned.
    enablePurgeProtection: purgeProtection ? true : null
    publicNetworkAccess: publicNetworkAccess
    networkAcls: { bypass: 'AzureServices', defaultAction: privateNetwork ? 'Deny' : 'Allow' }
  }
}

@description('Resource id of the Cosmos DB account.')
output cosmosId string = account.id

@description('Name of the Cosmos DB account.')
output cosmosName string = account.name

@description('Base URL of the Cosmos DB account.')
output cosmosEndpoint string = account.properties.documentEndpoint

@description('Name of the database.')
output databaseName string = database.name

@description('Resource id of the storage account.')
output storageId string = storage.id

@description('Name of the storage account.')
output storageName string = storage.name

@description('Name of the container for dead letters.')
output deadLettersName string = deadLetters.name

@description('URL of the container that holds the deployed package.')
output deploymentContainerUrl string = '${storage.properties.primaryEndpoints.blob}${deployments.name}'

@description('Resource id of the Key Vault.')
output vaultId string = vault.id

@description('Name of the Key Vault.')
output vaultName string = vault.name

@description('Base URL of the Key Vault, with a slash at its end.')
output vaultUri string = vault.properties.vaultUri
