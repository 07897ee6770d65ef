# Makes the first key for passwords, after provisioning; postprovision.sh says the same for a POSIX
# shell, with the reasons. A key that is there is never touched.
$ErrorActionPreference = 'Stop'
$PSNativeCommandUseErrorActionPreference = $true

foreach ($name in 'AZURE_SUBSCRIPTION_ID', 'AZURE_RESOURCE_GROUP', 'AZURE_KEY_VAULT_NAME', 'KEY_RING_NAME', 'FUNCTION_APP_NAME') {
    if (-not [Environment]::GetEnvironmentVariable($name)) {
        throw "$name is missing: run this through azd, or set it."
    }
}

$group = "/subscriptions/$env:AZURE_SUBSCRIPTION_ID/resourceGroups/$env:AZURE_RESOURCE_GROUP"
$vault = "$group/providers/Microsoft.KeyVault/vaults/$env:AZURE_KEY_VAULT_NAME"
$site = "$group/providers/Microsoft.Web/sites/$env:FUNCTION_APP_NAME"

$names = @(az rest --method get --url "$vault/secrets?api-version=2025-05-01" --query 'value[].name' --output tsv)
if ($LASTEXITCODE -ne 0) { throw 'The secrets of the vault could not be listed: see the message above.' }
if ($names -ccontains $env:KEY_RING_NAME) {
    Write-Output "The vault has $env:KEY_RING_NAME already: kept."
    exit 0
}

$bytes = [byte[]]::new(32)
[System.Security.Cryptography.RandomNumberGenerator]::Fill($bytes)
$keys = 'key-{0}:{1}' -f [DateTime]::UtcNow.ToString('yyyyMMdd'), [Convert]::ToBase64String($bytes)
$file = New-TemporaryFile
try {
    @{ passwordKeys = @{ value = $keys } } | ConvertTo-Json | Set-Content -Path $file -Encoding utf8
    az deployment group create --name password-keys --subscription $env:AZURE_SUBSCRIPTION_ID `
        --resource-group $env:AZURE_RESOURCE_GROUP --template-file "$PSScriptRoot/../password-keys.bicep" `
        --parameters "vaultName=$env:AZURE_KEY_VAULT_NAME" "secretName=$env:KEY_RING_NAME" `
        "@$file" --output none
    if ($LASTEXITCODE -ne 0) { throw 'The key could not be put into the vault: see the message above.' }
}
finally {
    Remove-Item -Path $file -Force
}

az rest --method post --url "$site/config/configreferences/appsettings/refresh?api-version=2022-03-01" --output none
if ($LASTEXITCODE -ne 0) { throw 'The app could not be told of the new secret: see the message above.' }
Write-Output "Made $env:KEY_RING_NAME with a new random key."
