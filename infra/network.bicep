// The virtual network of the private set-up: one subnet the app reaches out from, one for endpoints.

@description('Required. Base of the names.')
param name string

@description('Required. Azure region.')
param location string

@description('Required. Tags of the resources.')
param tags { *: string }

@description('Required. Address range, at least a /24: a quarter of it for the app, a quarter for endpoints.')
param addressPrefix string

resource network 'Microsoft.Network/virtualNetworks@2025-05-01' = {
  name: 'vnet-${name}'
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: [addressPrefix] }
    subnets: [
      {
        name: 'functions'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 0)
          // Telemetry, Entra ID and a Standard namespace have no private address: the app must reach out.
          defaultOutboundAccess: true
          delegations: [
            { name: 'flex', properties: { serviceName: 'Microsoft.App/environments' } }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 1)
          defaultOutboundAccess: false
        }
      }
    ]
  }
}

@description('Resource id of the network.')
output networkId string = network.id

@description('Subnet for the outgoing traffic of the app.')
output functionsSubnetId string = network.properties.subnets[0].id

@description('Subnet for private endpoints.')
output endpointsSubnetId string = network.properties.subnets[1].id
