// The DNS zones of the services that the app reaches privately, and an endpoint for each service.

@description('Required. Base of the names.')
param name string

@description('Required. Azure region.')
param location string

@description('Required. Tags of the resources.')
param tags { *: string }

@description('Required. Network whose resolvers learn the private addresses.')
param networkId string

@description('Required. Subnet of the endpoints.')
param subnetId string

@description('Required. Names of the DNS zones: one for each kind of service.')
param zoneNames string[]

@description('Required. For each service its short name, resource id, sub-resource and one of the zones.')
param targets { service: string, id: string, group: string, zone: string }[]

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for zone in zoneNames: {
    name: zone
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (zone, index) in zoneNames: {
    parent: zones[index]
    name: 'link-${name}'
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: { id: networkId }
    }
  }
]

module endpoints 'private-endpoint.bicep' = [
  for target in targets: {
    name: 'endpoint-${target.service}'
    params: {
      name: 'pe-${target.service}-${name}'
      location: location
      tags: tags
      subnetId: subnetId
      targetId: target.id
      groupId: target.group
      zoneId: resourceId('Microsoft.Network/privateDnsZones', target.zone)
    }
    dependsOn: [zones]
  }
]
