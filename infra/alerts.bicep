// What an operator must know of. Each alert says in its description what to look at, and what it means
// that nothing was measured: a criterion without data is never met.

@description('Required. Base of the names.')
param name string

@description('Required. Azure region.')
param location string

@description('Required. Tags of the resources.')
param tags { *: string }

@description('Required. Where alerts are sent, or empty.')
param email string

@description('Required. Resource id of the Log Analytics workspace.')
param workspaceId string

@description('Required. Resource id of the Service Bus namespace.')
param namespaceId string

@description('Required. Name of the queue with readiness events.')
param queueName string

@description('Required. Name of the queue with reminders of subscriptions.')
param notificationsQueueName string

@description('Required. Resource id of the Cosmos DB account.')
param cosmosId string

@description('Optional. Waiting messages, on average over 15 minutes, from which the backlog alert fires.')
@minValue(1)
param backlogMessages int = 1000

@description('Optional. Share of answers with a 5xx status, in percent over 15 minutes, from which the alert fires.')
@minValue(1)
@maxValue(100)
param failurePercent int = 2

@description('Optional. 95th percentile of the duration of requests, in milliseconds over 15 minutes, from which the alert fires.')
@minValue(1)
param slowMilliseconds int = 2000

@description('Optional. 95th percentile of the time from an event to its effect, in minutes over 15 minutes, from which the alert fires.')
@minValue(1)
param lateMinutes int = 10

@description('Optional. Throttled Cosmos DB requests in 15 minutes from which the alert fires.')
@minValue(1)
param throttledRequests int = 50

// A handful of requests says nothing about a share or a percentile.
var fewestRequests = 20
var queueDimension = [{ name: 'EntityName', operator: 'Include', values: [queueName] }]
var bothQueues = [
  { name: 'EntityName', operator: 'Include', values: [queueName, notificationsQueueName] }
]
var actionGroups = empty(email) ? [] : [people.id]
var metricActions = empty(email) ? [] : [{ actionGroupId: people.id }]

// HTTP requests, queue messages and timer runs are all in this table; only the first have a URL.
var countRequests = 'AppRequests | where isnotempty(Url)'
var failureQuery = '${countRequests} | summarize requests = sum(ItemCount), failed = sumif(ItemCount, toint(ResultCode) >= 500) | where requests >= ${fewestRequests} | project percent = 100.0 * failed / requests'
var latencyQuery = '${countRequests} | summarize requests = sum(ItemCount), p95 = percentile(DurationMs, 95) | where requests >= ${fewestRequests} | project p95'
// Without a "by", one row comes out also where none goes in.
var silenceQuery = 'AppRequests | summarize runs = count()'

// The app logs one JSON object a line.
var countLines = 'AppTraces | where Message startswith "{" | extend line = parse_json(Message)'
var letterQuery = '${countLines} | where tostring(line.event) == "deadLetterArchived" | summarize letters = sum(ItemCount)'
var refusedQuery = '${countLines} | where tostring(line.event) == "storeRefused" | summarize refusals = sum(ItemCount)'
var missedQuery = '${countLines} | where tostring(line.event) == "notificationFailed" and tobool(line.gaveUp) | summarize missed = sum(ItemCount)'
var lateQuery = '${countLines} | where isnotnull(line.latencyMs) | summarize minutes = percentile(todouble(line.latencyMs), 95) / 60000'

// Key Vault records it 30 days before a secret expires; in China in the table that services share.
var expiryQuery = 'union isfuzzy=true AZKVAuditLogs, AzureDiagnostics | where OperationName == "SecretNearExpiryEventGridNotification" | summarize secrets = count()'

var metricAlerts = [
  {
    name: 'dead-letters-left'
    description: 'A dead-letter queue was not empty once in 15 minutes. The app archives what is in that of readiness events every five: is it running, and may it write blobs? That of reminders holds what send_notifications failed at five times: see its exceptions, then delete the messages. No data: the namespace does not report, and the alert stays as it is.'
    severity: 1
    scope: namespaceId
    window: 'PT15M'
    criteria: [
      {
        name: 'dead'
        criterionType: 'StaticThresholdCriterion'
        metricNamespace: 'Microsoft.ServiceBus/namespaces'
        metricName: 'DeadletteredMessages'
        dimensions: bothQueues
        timeAggregation: 'Minimum'
        operator: 'GreaterThan'
        threshold: 0
      }
    ]
  }
  {
    name: 'queue-age'
    description: 'A queue was not empty once in 15 minutes. Is the app running, may it receive, and does it keep up? No data: the namespace does not report, and the alert stays as it is.'
    severity: 1
    scope: namespaceId
    window: 'PT15M'
    criteria: [
      {
        name: 'waiting'
        criterionType: 'StaticThresholdCriterion'
        metricNamespace: 'Microsoft.ServiceBus/namespaces'
        metricName: 'ActiveMessages'
        dimensions: bothQueues
        timeAggregation: 'Minimum'
        operator: 'GreaterThan'
        threshold: 0
      }
    ]
  }
  {
    name: 'queue-backlog'
    description: 'More messages arrive than are handled: raise maximumInstanceCount, or find what makes them slow. No data: the namespace does not report, and the alert stays as it is.'
    severity: 2
    scope: namespaceId
    window: 'PT15M'
    criteria: [
      {
        name: 'backlog'
        criterionType: 'StaticThresholdCriterion'
        metricNamespace: 'Microsoft.ServiceBus/namespaces'
        metricName: 'ActiveMessages'
        dimensions: queueDimension
        timeAggregation: 'Average'
        operator: 'GreaterThan'
        threshold: backlogMessages
      }
    ]
  }
  {
    name: 'cosmos-throttling'
    description: 'Cosmos DB answers 429: raise cosmosMaxThroughput, or see docs/cost-and-scale.md for a serverless account. No data: no request was throttled.'
    severity: 2
    scope: cosmosId
    window: 'PT15M'
    criteria: [
      {
        name: 'throttled'
        criterionType: 'StaticThresholdCriterion'
        metricNamespace: 'Microsoft.DocumentDB/databaseAccounts'
        metricName: 'TotalRequests'
        dimensions: [{ name: 'StatusCode', operator: 'Include', values: ['429'] }]
        timeAggregation: 'Count'
        operator: 'GreaterThan'
        threshold: throttledRequests
      }
    ]
  }
]

var logAlerts = [
  {
    name: 'dead-letters'
    description: 'Messages could not be processed and are in the container for dead letters: read their reason, mend the cause, then put them back or discard them. No data: none was archived.'
    severity: 1
    query: letterQuery
    column: 'letters'
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT15M'
    resolves: true
  }
  {
    name: 'store-refused'
    description: 'Cosmos DB refuses the app: has its identity the data role, is the key the present one, do database and containers exist under the names in the app settings? Requests are answered 503 and events wait meanwhile. No data: it refused nothing.'
    severity: 1
    query: refusedQuery
    column: 'refusals'
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT15M'
    resolves: true
  }
  {
    name: 'missed-notifications'
    description: 'An endpoint took no change notifications for four hours, and those were given up: see /status for which, and have its owner look at it. No data: none was given up.'
    severity: 2
    query: missedQuery
    column: 'missed'
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT15M'
    resolves: true
  }
  {
    name: 'late-events'
    description: 'Events take long to have an effect: is there a backlog, or does Cosmos DB throttle? No data: no event was handled; see queue-age.'
    severity: 2
    query: lateQuery
    column: 'minutes'
    operator: 'GreaterThan'
    threshold: lateMinutes
    window: 'PT15M'
    resolves: true
  }
  {
    name: 'server-errors'
    description: 'Too many answers are 5xx: look at the failures of the Application Insights component. No data: fewer than ${fewestRequests} requests, too few to judge.'
    severity: 1
    query: failureQuery
    column: 'percent'
    operator: 'GreaterThan'
    threshold: failurePercent
    window: 'PT15M'
    resolves: true
  }
  {
    name: 'slow-answers'
    description: 'Answers are slow: look for throttling by Cosmos DB, and for cold starts (alwaysReadyInstances). No data: fewer than ${fewestRequests} requests, too few to judge.'
    severity: 2
    query: latencyQuery
    column: 'p95'
    operator: 'GreaterThan'
    threshold: slowMilliseconds
    window: 'PT15M'
    resolves: true
  }
  {
    name: 'nothing-runs'
    description: 'No request and no timer run was logged for an hour, though a timer runs every minute: is the app running, and does its telemetry arrive (logDailyQuotaGb)? No data is what this alert is for: it counts as no run.'
    severity: 1
    query: silenceQuery
    column: 'runs'
    operator: 'LessThan'
    threshold: 1
    window: 'PT1H'
    resolves: true
  }
  {
    name: 'key-ring-expires'
    description: 'The secret with the password keys expires in 30 days: change the key as docs/operations.md says. No data: nothing expires soon.'
    severity: 2
    query: expiryQuery
    column: 'secrets'
    operator: 'GreaterThan'
    threshold: 0
    window: 'P1D'
    // It is recorded once: the alert stays until it is closed by hand.
    resolves: false
  }
]

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: 'ag-${name}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'provisioning'
    enabled: true
    emailReceivers: [{ name: 'operator', emailAddress: email, useCommonAlertSchema: true }]
  }
}

resource onMetrics 'Microsoft.Insights/metricAlerts@2026-01-01' = [
  for alert in metricAlerts: {
    name: '${alert.name}-${name}'
    location: 'global'
    tags: tags
    properties: {
      description: alert.description
      severity: alert.severity
      enabled: true
      scopes: [alert.scope]
      evaluationFrequency: 'PT5M'
      windowSize: alert.window
      autoMitigate: true
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: alert.criteria
      }
      actions: metricActions
    }
  }
]

resource onLogs 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for alert in logAlerts: {
    name: '${alert.name}-${name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: '${alert.name}-${name}'
      description: alert.description
      severity: alert.severity
      enabled: true
      scopes: [workspaceId]
      evaluationFrequency: alert.window == 'P1D' ? 'P1D' : 'PT5M'
      windowSize: alert.window
      autoMitigate: alert.resolves
      // A table of a new workspace comes with its first row; the tests bind every query to the tables.
      skipQueryValidation: true
      criteria: {
        allOf: [
          {
            query: alert.query
            metricMeasureColumn: alert.column
            timeAggregation: 'Maximum'
            operator: alert.operator
            threshold: alert.threshold
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      actions: { actionGroups: actionGroups }
    }
  }
]
