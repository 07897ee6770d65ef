// An identity. It exists before the app, so that its roles can be in place first.

@description('Required. Name of the identity.')
param name string

@description('Required. Azure region.')
param location string

@description('Required. Tags of the resources.')
param tags { *: string }

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

@description('Resource id.')
output id string = identity.id

@description('Client id: how the app names the identity when it asks for a token.')
output clientId string = identity.properties.clientId

@description('Object id: what roles are assigned to.')
output principalId string = identity.properties.principalId
