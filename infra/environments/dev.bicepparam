// For trying things out: everything at its smallest, nothing that cannot be removed again.
using '../main.bicep'

param environmentName = 'dev'
param location = readEnvironmentVariable('AZURE_LOCATION', 'swedencentral')
param apiClientId = readEnvironmentVariable('API_CLIENT_ID')
param tags = { environment: 'dev' }
param developerPrincipalId = readEnvironmentVariable('DEVELOPER_PRINCIPAL_ID', '')
param maximumInstanceCount = 5
param logDailyQuotaGb = 1
param alertEmail = readEnvironmentVariable('ALERT_EMAIL', '')
