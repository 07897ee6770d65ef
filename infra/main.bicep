// The whole service: one resource group, and in it what the modules beside this file describe.
targetScope = 'subscription'

@description('Required. Name of the environment, such as dev or prod. Its letters and digits are part of every name.')
@minLength(1)
@maxLength(64)
param environmentName string

@description('Required. Azure region of everything; it must offer Functions Flex Consumption.')
@minLength(1)
param location string

@description('Required. Client id of the API in Entra ID, as infra/register_api.py prints it: tokens must be made for it.')
@minLength(36)
@maxLength(36)
param apiClientId string

@description('Optional. Ids of the tenants whose tokens are accepted; each sees only its own data. The first owns what releases before 1.1 stored.')
@minLength(1)
param allowedTenants string[] = [tenant().tenantId]

@description('Optional. Tags put on every resource, beside the one that azd looks for.')
param tags { *: string } = {}

@description('Optional. Object id of a user or group that may read flow sets and dead letters. Empty: no one.')
param developerPrincipalId string = ''

@description('Optional. What developerPrincipalId is.')
@allowed(['User', 'Group', 'ServicePrincipal'])
param developerPrincipalType string = 'User'

@description('Optional. Let developerPrincipalId read the key ring too, with which initial passwords can be opened.')
param developerReadsKeyRing bool = false

@description('Optional. Root of the context URLs in answers: Graph clients compare it. Empty: that of the cloud.')
param graphRoot string = ''

@description('Optional. Origins of web pages that may call the service from a browser, joined by commas. Empty: none.')
param corsOrigins string = ''

@description('Optional. Hosts that change notifications may be sent to, joined by commas, such as hooks.contoso.com. Empty: none are sent.')
param notificationHosts string = ''

@description('Optional. Cosmos DB billing: serverless by request, autoscale by the hour. Choose before the first deployment.')
@allowed(['serverless', 'autoscale'])
param cosmosCapacity string = 'serverless'

@description('Optional. Upper limit of autoscale in RU/s, shared by all containers; a tenth of it is always paid.')
@minValue(1000)
param cosmosMaxThroughput int = 1000

@description('Optional. Second Cosmos DB region, for failover. Needs cosmosCapacity autoscale. Empty: none.')
param cosmosSecondRegion string = ''

@description('Optional. Consistency of Cosmos DB. automatic: Strong in one region, BoundedStaleness in two, so that each instance reads what another wrote. Session halves what reads cost.')
@allowed(['automatic', 'Session', 'BoundedStaleness', 'Strong'])
param cosmosConsistency string = 'automatic'

@description('Optional. Service Bus tier. Premium has reserved capacity and private endpoints. Choose before the first deployment.')
@allowed(['Standard', 'Premium'])
param serviceBusSku string = 'Standard'

@description('Optional. Messaging units of a Premium namespace.')
@allowed([1, 2, 4, 8, 16])
param serviceBusMessagingUnits int = 1

@description('Optional. Let the scale controller read the length of the queue, which takes Data Owner on that queue. Without it the app still scales, by steps.')
param exactQueueScaling bool = true

@description('Optional. Put storage, Cosmos DB, Key Vault and (Premium only) Service Bus behind private endpoints.')
param privateNetwork bool = false

@description('Optional. Address range of the virtual network, used with privateNetwork. At least a /24.')
param addressPrefix string = '10.90.0.0/24'

@description('Optional. Spread plan, storage and Cosmos DB over availability zones, in regions that have them.')
param zoneRedundant bool = false

@description('Optional. Days that a deleted Key Vault or secret can be recovered. It cannot be changed later.')
@minValue(7)
@maxValue(90)
param vaultRetentionDays int = 7

@description('Optional. Refuse to purge the deleted Key Vault before its time. It cannot be switched off again, and its name stays taken for vaultRetentionDays after teardown.')
param purgeProtection bool = false

@description('Optional. Memory of an instance in MB.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('Optional. Most instances of each function group: HTTP is one, every queue or timer function another.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Optional. Requests that one instance works on at once; the app waits for Cosmos DB most of the time.')
@minValue(1)
@maxValue(1000)
param httpConcurrency int = 16

@description('Optional. HTTP instances that are always warm. 0: the first request after a pause waits for a cold start. With zoneRedundant every function group keeps two, whatever this says.')
@minValue(0)
@maxValue(20)
param alwaysReadyInstances int = 0

@description('Optional. Where alerts are sent. Empty: they show in the portal only.')
param alertEmail string = ''

@description('Optional. Days that logs are kept, those for auditors among them.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

@description('Optional. Most GB of logs taken in a day; what comes after is dropped. -1: no limit.')
param logDailyQuotaGb int = 5

var allTags = union(tags, { 'azd-env-name': environmentName })

// azd takes hyphens, underscores, dots and parentheses anywhere in a name, and Azure hardly anywhere:
// only letters and digits go on, in words. Two environments whose words are the same differ in the token.
var given = toLower(environmentName)
var characters = map(range(0, length(given)), index => substring(given, index, 1))
var plain = join(map(characters, one => contains('abcdefghijklmnopqrstuvwxyz0123456789', one) ? one : '-'), '')
var shortened = take(join(filter(split(plain, '-'), word => !empty(word)), '-'), 20)
var words = filter(split(shortened, '-'), word => !empty(word))
var token = take(uniqueString(subscription().id, environmentName, location), 6)
var name = join(flatten([['idp'], words, [token]]), '-')
// Names of storage accounts and vaults are short, and have no hyphens or no two in a row.
var shortName = take('idp${join(words, '')}', 14)

// What differs between clouds and environment() does not know.
var cloud = {
  AzureCloud: { graph: 'https://graph.microsoft.com', cosmos: 'documents.azure.com' }
  AzureUSGovernment: { graph: 'https://graph.microsoft.us', cosmos: 'documents.azure.us' }
  AzureChinaCloud: { graph: 'https://microsoftgraph.chinacloudapi.cn', cosmos: 'documents.azure.cn' }
}[environment().name]
var zones = {
  blob: 'privatelink.blob.${environment().suffixes.storage}'
  cosmos: 'privatelink.${cloud.cosmos}'
  // core.windows.net gives servicebus.windows.net, and .vault.azure.net gives vaultcore.azure.net.
  serviceBus: 'privatelink.${replace(environment().suffixes.storage, 'core.', 'servicebus.')}'
  vault: 'privatelink${replace(environment().suffixes.keyvaultDns, '.vault.', '.vaultcore.')}'
}

var deadLettersName = 'dead-letters'
var readingsName = 'password-readings'
var packageContainerName = 'deployments'
var passwordKeysSecret = 'password-keys'

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-${name}'
  location: location
  tags: allTags
}

module observability 'observability.bicep' = {
  name: 'observability'
  scope: group
  params: {
    name: name
    location: location
    tags: allTags
    retentionDays: logRetentionDays
    dailyQuotaGb: logDailyQuotaGb
  }
}

module identity 'identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    name: 'id-${name}'
    location: location
    tags: allTags
  }
}

module deployer 'identity.bicep' = {
  name: 'deployer'
  scope: group
  params: {
    name: 'id-${name}-deploy'
    location: location
    tags: allTags
  }
}

module network 'network.bicep' = if (privateNetwork) {
  name: 'network'
  scope: group
  params: {
    name: name
    location: location
    tags: allTags
    addressPrefix: addressPrefix
  }
}

module data 'data.bicep' = {
  name: 'data'
  scope: group
  params: {
    name: name
    vaultName: 'kv-${shortName}-${token}'
    location: location
    tags: allTags
    cosmosCapacity: cosmosCapacity
    cosmosMaxThroughput: cosmosMaxThroughput
    cosmosSecondRegion: cosmosSecondRegion
    cosmosConsistency: cosmosConsistency
    zoneRedundant: zoneRedundant
    vaultRetentionDays: vaultRetentionDays
    purgeProtection: purgeProtection
    privateNetwork: privateNetwork
    workspaceId: observability.outputs.workspaceId
  }
}

// Of the Functions host, and of the app, which keeps there what the queue could not process.
module storage 'storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    name: '${shortName}${token}'
    location: location
    tags: allTags
    containerNames: [deadLettersName, readingsName]
    zoneRedundant: zoneRedundant
    privateNetwork: privateNetwork
    workspaceId: observability.outputs.workspaceId
  }
}

// Of the deployed package. The host needs rights on its whole account: in that account the app could
// write what it runs.
module packageStorage 'storage.bicep' = {
  name: 'package-storage'
  scope: group
  params: {
    name: '${shortName}${token}pkg'
    location: location
    tags: allTags
    containerNames: [packageContainerName]
    zoneRedundant: zoneRedundant
    privateNetwork: privateNetwork
    workspaceId: observability.outputs.workspaceId
  }
}

module messaging 'messaging.bicep' = {
  name: 'messaging'
  scope: group
  params: {
    name: name
    location: location
    tags: allTags
    sku: serviceBusSku
    messagingUnits: serviceBusMessagingUnits
    privateNetwork: privateNetwork
    workspaceId: observability.outputs.workspaceId
  }
}

// Only Premium namespaces have private endpoints.
var premiumTargets = serviceBusSku == 'Premium'
  ? [{ service: 'service-bus', id: messaging.outputs.namespaceId, group: 'namespace', zone: zones.serviceBus }]
  : []

module privateEndpoints 'private-endpoints.bicep' = if (privateNetwork) {
  name: 'private-endpoints'
  scope: group
  params: {
    name: name
    location: location
    tags: allTags
    networkId: privateNetwork ? network!.outputs.networkId : ''
    subnetId: privateNetwork ? network!.outputs.endpointsSubnetId : ''
    zoneNames: concat([zones.blob, zones.cosmos, zones.vault], empty(premiumTargets) ? [] : [zones.serviceBus])
    targets: concat(
      [
        { service: 'blob', id: storage.outputs.id, group: 'blob', zone: zones.blob }
        { service: 'package', id: packageStorage.outputs.id, group: 'blob', zone: zones.blob }
        { service: 'cosmos', id: data.outputs.cosmosId, group: 'Sql', zone: zones.cosmos }
        { service: 'vault', id: data.outputs.vaultId, group: 'vault', zone: zones.vault }
      ],
      premiumTargets
    )
  }
  // A role of Cosmos DB and an endpoint of it are both changes of the account, which takes one at a time.
  dependsOn: [appRoles]
}

module appRoles 'app-roles.bicep' = {
  name: 'app-roles'
  scope: group
  params: {
    principalId: identity.outputs.principalId
    cosmosName: data.outputs.cosmosName
    databaseName: data.outputs.databaseName
    namespaceName: messaging.outputs.namespaceName
    queueNames: [messaging.outputs.readinessQueue, messaging.outputs.notificationsQueue]
    storageName: storage.outputs.name
    deadLettersName: deadLettersName
    readingsName: readingsName
    vaultName: data.outputs.vaultName
  }
}

module hostRoles 'host-roles.bicep' = {
  name: 'host-roles'
  scope: group
  params: {
    principalId: identity.outputs.principalId
    deployerPrincipalId: deployer.outputs.principalId
    storageName: storage.outputs.name
    packageStorageName: packageStorage.outputs.name
    packageContainerName: packageContainerName
    namespaceName: messaging.outputs.namespaceName
    queueNames: [messaging.outputs.readinessQueue, messaging.outputs.notificationsQueue]
    insightsName: observability.outputs.insightsName
    exactQueueScaling: exactQueueScaling
  }
}

module developerRoles 'developer-roles.bicep' = if (!empty(developerPrincipalId)) {
  name: 'developer-roles'
  scope: group
  params: {
    principalId: developerPrincipalId
    principalType: developerPrincipalType
    readsKeyRing: developerReadsKeyRing
    cosmosName: data.outputs.cosmosName
    databaseName: data.outputs.databaseName
    storageName: storage.outputs.name
    deadLettersName: deadLettersName
    vaultName: data.outputs.vaultName
  }
  // One change of the Cosmos DB account at a time.
  dependsOn: [appRoles, privateEndpoints]
}

module app 'app.bicep' = {
  name: 'app'
  scope: group
  params: {
    name: name
    location: location
    tags: allTags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    deployerIdentityId: deployer.outputs.id
    apiClientId: apiClientId
    allowedTenants: allowedTenants
    blobEndpoint: storage.outputs.blobEndpoint
    deploymentContainerUrl: '${packageStorage.outputs.blobEndpoint}${packageContainerName}'
    cosmosEndpoint: data.outputs.cosmosEndpoint
    cosmosDatabase: data.outputs.databaseName
    serviceBusHost: messaging.outputs.namespaceHost
    readinessQueue: messaging.outputs.readinessQueue
    notificationsQueue: messaging.outputs.notificationsQueue
    notificationHosts: notificationHosts
    keyRingUri: '${data.outputs.vaultUri}secrets/${passwordKeysSecret}'
    insightsName: observability.outputs.insightsName
    graphRoot: empty(graphRoot) ? '${cloud.graph}/beta' : graphRoot
    corsOrigins: corsOrigins
    functionsSubnetId: privateNetwork ? network!.outputs.functionsSubnetId : null
    zoneRedundant: zoneRedundant
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    httpConcurrency: httpConcurrency
    alwaysReadyInstances: alwaysReadyInstances
  }
  // What the app opens at its start must let it in: its roles, and the way to them.
  dependsOn: [appRoles, hostRoles, privateEndpoints]
}

module alerts 'alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    name: name
    location: location
    tags: allTags
    email: alertEmail
    workspaceId: observability.outputs.workspaceId
    namespaceId: messaging.outputs.namespaceId
    queueName: messaging.outputs.readinessQueue
    notificationsQueueName: messaging.outputs.notificationsQueue
    cosmosId: data.outputs.cosmosId
  }
}

@description('Resource group of the environment.')
output AZURE_RESOURCE_GROUP string = group.name

@description('Name of the function app; azd and the workflow deploy to it.')
output FUNCTION_APP_NAME string = app.outputs.name

@description('Service root that a Graph client is pointed at.')
output SERVICE_ROOT string = app.outputs.serviceRoot

@description('Key Vault of the environment; the hook after provisioning puts the first password key into it.')
output AZURE_KEY_VAULT_NAME string = data.outputs.vaultName

@description('Name of the secret that PASSWORD_KEYS refers to.')
output KEY_RING_NAME string = passwordKeysSecret

@description('Base URL of the Cosmos DB account.')
output COSMOS_ENDPOINT string = data.outputs.cosmosEndpoint

@description('Name of the database.')
output COSMOS_DATABASE string = data.outputs.databaseName

@description('Host name of the Service Bus namespace.')
output ServiceBus__fullyQualifiedNamespace string = messaging.outputs.namespaceHost

@description('Name of the queue with readiness events.')
output READINESS_QUEUE string = messaging.outputs.readinessQueue

@description('Name of the queue with reminders of subscriptions.')
output NOTIFICATIONS_QUEUE string = messaging.outputs.notificationsQueue

@description('Base URL of the blobs of the storage account with dead letters.')
output AzureWebJobsStorage__blobServiceUri string = storage.outputs.blobEndpoint

@description('Name of the container for dead letters.')
output DEAD_LETTERS_CONTAINER string = deadLettersName

@description('Address of the workbook that shows flows by status, below the portal.')
output WORKBOOK_ID string = observability.outputs.workbookId
