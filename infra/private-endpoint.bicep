// One private endpoint: an address in the network for one service, and its record in a DNS zone.

@description('Required. Name of the endpoint.')
param name string

@description('Required. Azure region.')
param location string

@description('Required. Tags of the resources.')
param tags { *: string }

@description('Required. Subnet of the endpoint.')
param subnetId string

@description('Required. Resource id of the service.')
param targetId string

@description('Required. Sub-resource of the service, such as blob.')
param groupId string

@description('Required. Resource id of the DNS zone.')
param zoneId string

resource endpoint 'Microsoft.Network/privateEndpoints@2025-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    subnet: { id: subnetId }
    privateLinkServiceConnections: [
      {
        name: groupId
        properties: { privateLinkServiceId: targetId, groupIds: [groupId] }
      }
    ]
  }
}

resource records 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = {
  parent: endpoint
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [{ name: groupId, properties: { privateDnsZoneId: zoneId } }]
  }
}
