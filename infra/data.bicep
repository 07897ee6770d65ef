// Where things rest: Cosmos DB for flow sets, Key Vault for the key ring.

@description('Required. Base of the names.')
@minLength(3)
param name string

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

@description('Required. Consistency of Cosmos DB; automatic: Strong in one region, BoundedStaleness in two.')
@allowed(['automatic', 'Session', 'BoundedStaleness', 'Strong'])
param cosmosConsistency string

@description('Required. Spread Cosmos DB over availability zones.')
param zoneRedundant bool

@description('Required. Days that a deleted vault or secret can be recovered.')
@minValue(7)
@maxValue(90)
param vaultRetentionDays int

@description('Required. Refuse to purge the deleted vault before its time.')
param purgeProtection bool

@description('Required. Refuse traffic that does not come through a private endpoint.')
param privateNetwork bool

@description('Required. Resource id of the Log Analytics workspace.')
param workspaceId string

// The emulator creates the same database and containers from the same file.
var containers = loadJsonContent('../shared/resources/containers.json').containers
var databaseName = 'industryData'
var serverless = cosmosCapacity == 'serverless'
var regions = serverless || empty(cosmosSecondRegion) ? [location] : [location, cosmosSecondRegion]
var publicNetworkAccess = privateNetwork ? 'Disabled' : 'Enabled'

// Session holds within one client only, and the functions of one app run on different instances.
var consistency = {
  automatic: length(regions) > 1 ? 'BoundedStaleness' : 'Strong'
  Session: 'Session'
  BoundedStaleness: 'BoundedStaleness'
  Strong: 'Strong'
}[cosmosConsistency]
// The smallest that an account with two regions takes. Reads in the region that is written to are current.
var staleness = consistency == 'BoundedStaleness' ? { maxIntervalInSeconds: 300, maxStalenessPrefix: 100000 } : {}

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
    consistencyPolicy: { defaultConsistencyLevel: consistency, ...staleness }
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

// One at a time: the account refuses a change (412) while another is under way.
@batchSize(1)
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

// The only stable version is of 2016, and knows neither names nor tables of a service's own.
#disable-next-line use-recent-api-versions
resource accountAudit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'audit'
  scope: account
  properties: {
    workspaceId: workspaceId
    logAnalyticsDestinationType: 'Dedicated'
    logs: [
      { category: 'DataPlaneRequests', enabled: true }
      { category: 'ControlPlaneRequests', enabled: true }
      // Whose requests used the throughput when the account answered 429.
      { category: 'PartitionKeyRUConsumption', enabled: true }
    ]
  }
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
    softDeleteRetentionInDays: vaultRetentionDays
    // The service refuses the value false: protection is on, or it is not mentioned.
    enablePurgeProtection: purgeProtection ? true : null
    publicNetworkAccess: publicNetworkAccess
    networkAcls: { bypass: 'AzureServices', defaultAction: privateNetwork ? 'Deny' : 'Allow' }
  }
}

// The only stable version is of 2016, and knows neither names nor tables of a service's own.
#disable-next-line use-recent-api-versions
resource vaultAudit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'audit'
  scope: vault
  properties: {
    workspaceId: workspaceId
    logAnalyticsDestinationType: 'Dedicated'
    logs: [{ category: 'AuditEvent', enabled: true }]
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

@description('Resource id of the Key Vault.')
output vaultId string = vault.id

@description('Name of the Key Vault.')
output vaultName string = vault.name

@description('Base URL of the Key Vault, with a slash at its end.')
output vaultUri string = vault.properties.vaultUri
