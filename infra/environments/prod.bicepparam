// For schools: reserved throughput, a second region, a private network, instances in two zones.
using '../main.bicep'

param environmentName = 'prod'
param location = readEnvironmentVariable('AZURE_LOCATION', 'swedencentral')
param apiClientId = readEnvironmentVariable('API_CLIENT_ID')
param tags = { environment: 'prod' }
param cosmosCapacity = 'autoscale'
param cosmosMaxThroughput = 4000
param cosmosSecondRegion = readEnvironmentVariable('AZURE_SECOND_LOCATION', '')
param serviceBusSku = 'Premium'
param privateNetwork = true
// Keeps two always-ready instances for each of the app's four function groups: docs/cost-and-scale.md
// has what those eight cost. alwaysReadyInstances would only raise the number for HTTP above two.
param zoneRedundant = true
param vaultRetentionDays = 90
param purgeProtection = true
// For each function group.
param maximumInstanceCount = 100
param logRetentionDays = 90
param logDailyQuotaGb = 20
param alertEmail = readEnvironmentVariable('ALERT_EMAIL', '')
