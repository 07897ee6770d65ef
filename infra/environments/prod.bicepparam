// For schools: reserved throughput, a second region, a private network, warm instances.
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
param zoneRedundant = true
param purgeProtection = true
param maximumInstanceCount = 100
param alwaysReadyInstances = 1
param logRetentionDays = 90
param logDailyQuotaGb = 20
param alertEmail = readEnvironmentVariable('ALERT_EMAIL', '')
