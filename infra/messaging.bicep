// The Service Bus namespace and its queues.

@description('Required. Base of the names.')
@minLength(3)
param name string

@description('Required. Azure region.')
param location string

@description('Required. Tags of the resources.')
param tags { *: string }

@description('Required. Tier of the namespace.')
@allowed(['Standard', 'Premium'])
param sku string

@description('Required. Messaging units of a Premium namespace.')
param messagingUnits int

@description('Required. Refuse traffic that does not come through a private endpoint (Premium only).')
param privateNetwork bool

@description('Required. Resource id of the Log Analytics workspace.')
param workspaceId string

// The emulators read the same file: names, lock time, deliveries, time to live, duplicate detection.
var queues = loadJsonContent('../shared/resources/queues.json').UserConfig.Namespaces[0].Queues

resource namespace 'Microsoft.ServiceBus/namespaces@2026-01-01' = {
  name: 'sb-${name}'
  location: location
  tags: tags
  sku: sku == 'Premium' ? { name: sku, tier: sku, capacity: messagingUnits } : { name: sku, tier: sku }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: privateNetwork && sku == 'Premium' ? 'Disabled' : 'Enabled'
  }
}

resource serviceBusQueues 'Microsoft.ServiceBus/namespaces/queues@2026-01-01' = [
  for queue in queues: {
    parent: namespace
    name: queue.Name
    properties: {
      deadLetteringOnMessageExpiration: queue.Properties.DeadLetteringOnMessageExpiration
      defaultMessageTimeToLive: queue.Properties.DefaultMessageTimeToLive
      duplicateDetectionHistoryTimeWindow: queue.Properties.DuplicateDetectionHistoryTimeWindow
      lockDuration: queue.Properties.LockDuration
      maxDeliveryCount: queue.Properties.MaxDeliveryCount
      requiresDuplicateDetection: queue.Properties.RequiresDuplicateDetection
      requiresSession: queue.Properties.RequiresSession
    }
  }
]

// Standard namespaces do not record who sends and receives.
var premiumCategories = sku == 'Premium' ? ['RuntimeAuditLogs'] : []

// The only stable version is of 2016, and knows neither names nor tables of a service's own.
#disable-next-line use-recent-api-versions
resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'audit'
  scope: namespace
  properties: {
    workspaceId: workspaceId
    logAnalyticsDestinationType: 'Dedicated'
    logs: [
      for category in concat(['OperationalLogs', 'DiagnosticErrorLogs'], premiumCategories): {
        category: category
        enabled: true
      }
    ]
  }
}

@description('Resource id of the namespace.')
output namespaceId string = namespace.id

@description('Name of the namespace.')
output namespaceName string = namespace.name

@description('Host name that clients connect to.')
output namespaceHost string = replace(replace(namespace.properties.serviceBusEndpoint, 'https://', ''), ':443/', '')

@description('Name of the queue with readiness events: the first in the file.')
output readinessQueue string = serviceBusQueues[0].name

@description('Name of the queue with reminders of subscriptions: the second in the file.')
output notificationsQueue string = serviceBusQueues[1].name
