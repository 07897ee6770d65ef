// What the Functions host needs for itself: in the name of the app's identity, and for deployments in
// the name of another, so that the app cannot write what it runs.

@description('Required. Object id of the identity of the app.')
param principalId string

@description('Required. Object id of the identity that deploys.')
param deployerPrincipalId string

@description('Required. Name of the storage account of the host.')
param storageName string

@description('Required. Name of the storage account of the deployed package.')
param packageStorageName string

@description('Required. Name of the container of the deployed package.')
param packageContainerName string

@description('Required. Name of the Service Bus namespace.')
param namespaceName string

@description('Required. Names of the queues that trigger functions.')
param queueNames string[]

@description('Required. Name of the Application Insights component.')
param insightsName string

@description('Required. Let the scale controller read the lengths of the queues.')
param exactQueueScaling bool

// Ids of built-in roles; they are the same in every tenant.
var roles = {
  monitoringMetricsPublisher: '3913510d-42f4-4e42-8a64-420c390055eb'
  serviceBusDataOwner: '090c5cfd-751d-490a-894a-3ce6f1109419'
  storageBlobDataContributor: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  storageBlobDataOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
}

resource storage 'Microsoft.Storage/storageAccounts@2025-08-01' existing = {
  name: storageName
}

resource packageStorage 'Microsoft.Storage/storageAccounts@2025-08-01' existing = {
  name: packageStorageName
}

resource packageBlobs 'Microsoft.Storage/storageAccounts/blobServices@2025-08-01' existing = {
  parent: packageStorage
  name: 'default'
}

resource packages 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-08-01' existing = {
  parent: packageBlobs
  name: packageContainerName
}

resource namespace 'Microsoft.ServiceBus/namespaces@2026-01-01' existing = {
  name: namespaceName
}

resource queues 'Microsoft.ServiceBus/namespaces/queues@2026-01-01' existing = [
  for name in queueNames: {
    parent: namespace
    name: name
  }
]

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

// The host makes its own containers (locks of timers, host keys), hence the account and not a container. It needs queues and tables only for blob triggers and Durable
// Functions, which this app has none of.
resource hostStorage 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(storage.id, principalId, roles.storageBlobDataOwner)
  scope: storage
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataOwner)
  }
}

// The length of a queue is a management property: reading it takes the Manage claim, which no smaller
// built-in role has. With Listen only, the scale controller adds instances step by step instead of
// dividing the length by maxConcurrentCalls. The role is given on these queues alone, so the most it
// adds is the right to change or delete them.
resource scaling 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (name, index) in queueNames: if (exactQueueScaling) {
    name: guid(queues[index].id, principalId, roles.serviceBusDataOwner)
    scope: queues[index]
    properties: {
      principalId: principalId
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataOwner)
    }
  }
]

// Telemetry is sent with the identity: the component takes no instrumentation key.
resource telemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, principalId, roles.monitoringMetricsPublisher)
  scope: insights
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.monitoringMetricsPublisher
    )
  }
}

// The platform stores and reads the package in the name of this identity.
resource deployment 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(packages.id, deployerPrincipalId, roles.storageBlobDataContributor)
  scope: packages
  properties: {
    principalId: deployerPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.storageBlobDataContributor
    )
  }
}
