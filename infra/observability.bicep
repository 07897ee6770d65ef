// Where telemetry goes, and the workbook that shows it.

@description('Required. Base of the names.')
param name string

@description('Required. Azure region.')
param location string

@description('Required. Tags of the resources.')
param tags { *: string }

@description('Required. Days that logs are kept.')
param retentionDays int

@description('Required. Most GB of logs taken in a day; -1: no limit.')
param dailyQuotaGb int

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' = {
  name: 'log-${name}'
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: retentionDays
    workspaceCapping: { dailyQuotaGb: dailyQuotaGb }
    features: { disableLocalAuth: true }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: 'appi-${name}'
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    IngestionMode: 'LogAnalytics'
    DisableLocalAuth: true
  }
}

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, name, 'flows-by-status')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Provisioning flows by status'
    category: 'workbook'
    sourceId: workspace.id
    serializedData: string(loadJsonContent('workbook.json'))
  }
}

@description('Resource id of the Log Analytics workspace.')
output workspaceId string = workspace.id

@description('Name of the Application Insights component.')
output insightsName string = insights.name

@description('Resource id of the workbook.')
output workbookId string = workbook.id
