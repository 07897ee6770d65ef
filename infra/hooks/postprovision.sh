#!/bin/sh
# Makes the first key for passwords, after provisioning. A key that is there is never touched: what
# was encrypted with it could not be read again. azd runs this with the outputs of main.bicep in the
# environment; the workflow does the same. It needs the Azure CLI, signed in.
set -eu

: "${AZURE_SUBSCRIPTION_ID:?is missing: run this through azd, or set it}"
: "${AZURE_RESOURCE_GROUP:?is missing: run this through azd, or set it}"
: "${AZURE_KEY_VAULT_NAME:?is missing: run this through azd, or set it}"
: "${KEY_RING_NAME:?is missing: run this through azd, or set it}"
: "${FUNCTION_APP_NAME:?is missing: run this through azd, or set it}"

here=$(dirname "$0")
group="/subscriptions/$AZURE_SUBSCRIPTION_ID/resourceGroups/$AZURE_RESOURCE_GROUP"
vault="$group/providers/Microsoft.KeyVault/vaults/$AZURE_KEY_VAULT_NAME"
site="$group/providers/Microsoft.Web/sites/$FUNCTION_APP_NAME"

# Through Azure Resource Manager, which lists names and not values, and which works from outside the
# private network too.
names=$(az rest --method get --url "$vault/secrets?api-version=2025-05-01" \
    --query 'value[].name' --output tsv)
if printf '%s\n' "$names" | grep -Fqx "$KEY_RING_NAME"; then
    echo "The vault has $KEY_RING_NAME already: kept."
    exit 0
fi

# In a file for this user alone: a command line can be read by others on the machine.
umask 077
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM HUP
key=$(head -c 32 /dev/urandom | base64 | tr -d '\n')
printf '{"passwordKeys": {"value": "key-%s:%s"}}' "$(date -u +%Y%m%d)" "$key" >"$folder/parameters.json"

az deployment group create --name password-keys --subscription "$AZURE_SUBSCRIPTION_ID" \
    --resource-group "$AZURE_RESOURCE_GROUP" --template-file "$here/../password-keys.bicep" \
    --parameters "vaultName=$AZURE_KEY_VAULT_NAME" "secretName=$KEY_RING_NAME" \
    "@$folder/parameters.json" --output none

# The app looked for the secret when it was provisioned and found none: have it look again.
az rest --method post \
    --url "$site/config/configreferences/appsettings/refresh?api-version=2022-03-01" --output none
echo "Made $KEY_RING_NAME with a new random key."
