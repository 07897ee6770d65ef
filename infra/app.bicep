// The function app on Flex Consumption, and every setting it has.

@description('Required. Base of the names.')
param name string

@description('Required. Azure region.')
param location string

@description('Required. Tags of the resources.')
param tags { *: string }

@description('Required. Resource id of the identity the app runs as.')
param identityId string

@description('Required. Client id of the identity the app runs as.')
param identityClientId string

@description('Required. Resource id of the identity that stores and reads the deployed package.')
param deployerIdentityId string

@description('Required. Client id of the API in Entra ID.')
param apiClientId string

@description('Required. Ids of the tenants whose tokens are accepted.')
param allowedTenants string[]

@description('Required. Base URL of the blobs of the Functions host.')
param blobEndpoint string

@description('Required. URL of the container that holds the deployed package.')
param deploymentContainerUrl string

@description('Required. Base URL of the Cosmos DB account.')
param cosmosEndpoint string

@description('Required. Name of the database.')
param cosmosDatabase string

@description('Required. Host name of the Service Bus namespace.')
param serviceBusHost string

@description('Required. Name of the queue with readiness events.')
param readinessQueue string

@description('Required. Name of the queue with reminders of subscriptions.')
param notificationsQueue string

@description('Required. Hosts that change notifications may be sent to, joined by commas; empty: none are sent.')
param notificationHosts string

@description('Required. URL of the secret with the password keys, without a version.')
param keyRingUri string

@description('Required. Name of the Application Insights component.')
param insightsName string

@description('Required. Root of the context URLs in answers.')
param graphRoot string

@description('Required. Origins of web pages that may call the service from a browser, joined by commas.')
param corsOrigins string

@description('Optional. Subnet for outgoing traffic.')
param functionsSubnetId string?

@description('Required. Spread instances over availability zones.')
param zoneRedundant bool

@description('Required. Memory of an instance in MB.')
param instanceMemoryMB int

@description('Required. Most instances the app may scale out to.')
param maximumInstanceCount int

@description('Required. Requests that one instance works on at once.')
param httpConcurrency int

@description('Required. HTTP instances that are always warm.')
param alwaysReadyInstances int

var pythonVersion = '3.13'

// Every app setting. The first part is what the code in shared/ reads, the second what the Functions
// host and its extensions read. A new setting is a field there and a line here; a test compares.
var appSettings = {
  // Tokens of version 2 name the client id as their audience, those of version 1 the URI.
  AUTH_AUDIENCES: '${apiClientId},api://${apiClientId}'
  AUTH_AUTHORITY: environment().authentication.loginEndpoint
  AUTH_TENANTS: join(allowedTenants, ',')
  AZURE_CLIENT_ID: identityClientId
  CORS_ORIGINS: corsOrigins
  COSMOS_DATABASE: cosmosDatabase
  COSMOS_ENDPOINT: cosmosEndpoint
  GRAPH_ROOT: graphRoot
  NOTIFICATION_HOSTS: notificationHosts
  NOTIFICATIONS_QUEUE: notificationsQueue
  PASSWORD_KEYS: '@Microsoft.KeyVault(SecretUri=${keyRingUri})'
  READINESS_QUEUE: readinessQueue
  ServiceBus__fullyQualifiedNamespace: serviceBusHost

  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'Authorization=AAD;ClientId=${identityClientId}'
  APPLICATIONINSIGHTS_CONNECTION_STRING: insights.properties.ConnectionString
  AzureWebJobsStorage__blobServiceUri: blobEndpoint
  AzureWebJobsStorage__clientId: identityClientId
  AzureWebJobsStorage__credential: 'managedidentity'
  ServiceBus__clientId: identityClientId
  ServiceBus__credential: 'managedidentity'
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: 'plan-${name}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: {
    reserved: true
    zoneRedundant: zoneRedundant
  }
}

resource site 'Microsoft.Web/sites@2025-03-01' = {
  name: 'func-${name}'
  location: location
  // azd finds the app that it deploys a service to by this tag.
  tags: union(tags, { 'azd-service-name': 'api' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    // Flex Consumption takes for deployments only an identity that the app has.
    userAssignedIdentities: { '${identityId}': {}, '${deployerIdentityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    // The API is public, also with a private network: clients are elsewhere, and tokens guard it.
    publicNetworkAccess: 'Enabled'
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: functionsSubnetId
    siteConfig: {
      minTlsVersion: '1.2'
      // None here: the platform would answer browsers before the app, for every method and without
      // the headers that pages may read. The app answers them, by CORS_ORIGINS.
      cors: { allowedOrigins: [], supportCredentials: false }
    }
    functionAppConfig: {
      runtime: { name: 'python', version: pythonVersion }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: deploymentContainerUrl
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: deployerIdentityId
          }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: alwaysReadyInstances > 0 ? [{ name: 'http', instanceCount: alwaysReadyInstances }] : []
        triggers: { http: { perInstanceConcurrency: httpConcurrency } }
      }
    }
  }
}

resource settings 'Microsoft.Web/sites/config@2025-03-01' = {
  parent: site
  name: 'appsettings'
  properties: appSettings
}

// Deployment takes an Entra token; publishing user names and passwords are off.
resource ftpPublishing 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: site
  name: 'ftp'
  properties: { allow: false }
}

resource scmPublishing 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: site
  name: 'scm'
  properties: { allow: false }
}

@description('Name of the function app.')
output name string = site.name

@description('Service root that a Graph client is pointed at.')
output serviceRoot string = 'https://${site.properties.defaultHostName}/beta'
