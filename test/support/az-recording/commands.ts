/** A line as it is typed. */
export type Line = {
  readonly type: string;
  /** The version that has it. */
  readonly only?: '2.45.0' | '2.91.0';
  readonly fails?: true;
  /** What it prints is not what it reads. */
  readonly printsOwn?: true;
};

const template = {
  $schema: 'https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#',
  contentVersion: '1.0.0.0',
  parameters: { name: { type: 'string' } },
  resources: [
    {
      type: 'Microsoft.ContainerRegistry/registries',
      apiVersion: '2023-07-01',
      name: "[parameters('name')]",
      location: '[resourceGroup().location]',
      sku: { name: 'Premium' },
      properties: { policies: { retentionPolicy: { status: 'enabled', days: 7 } } },
    },
  ],
  outputs: {
    server: { type: 'string', value: "[reference(parameters('name')).loginServer]" },
  },
};

/** Files that the lines name. */
export const files: Readonly<Record<string, string>> = { 'template.json': JSON.stringify(template, undefined, 2) };

const registry =
  '/subscriptions/$SUBSCRIPTION/resourceGroups/demo/providers/Microsoft.ContainerRegistry/registries/contoso';

/** What is recorded, in order. Source: az wire document, sections 1, 2 and 5.2. Variables: `ORIGIN`, `TENANT`, `SUBSCRIPTION`, `CLIENT`, `SECRET`, `USERNAME`, `PASSWORD`. */
export const lines: readonly Line[] = [
  { type: 'az cloud register -n Found --endpoint-resource-manager $ORIGIN', only: '2.91.0' },
  { type: 'az login -u "$USERNAME" -p "$PASSWORD"', printsOwn: true },
  { type: 'az login --service-principal -u $CLIENT -p "$SECRET" --tenant $TENANT', printsOwn: true },
  { type: 'az account list-locations --query "[?name==\'eastus\']"' },
  { type: 'az group exists -n demo' },
  { type: 'az group create -n demo -l eastus --tags env=dev' },
  { type: 'az group show -n demo' },
  { type: 'az group update -n demo --set tags.team=a' },
  { type: 'az group list --tag env=dev' },
  { type: 'az group show -n missing', fails: true },
  { type: 'az acr check-name -n contoso' },
  { type: 'az acr check-name -n local' },
  { type: 'az acr create -n contoso -g demo --sku Premium --admin-enabled true' },
  { type: 'az acr show -n contoso' },
  { type: 'az acr show -n contoso -g demo' },
  { type: 'az acr show -n missing1 -g demo', fails: true },
  { type: 'az acr list' },
  { type: 'az acr list -g demo' },
  { type: 'az acr update -n contoso --tags a=b' },
  { type: 'az acr update -n contoso --data-endpoint-enabled true' },
  { type: 'az acr update -n contoso --sku Nonsense', fails: true },
  { type: 'az acr show-usage -n contoso' },
  { type: 'az acr show-endpoints -n contoso' },
  { type: 'az acr update -n contoso --sku Standard', fails: true },
  { type: 'az acr private-link-resource list -n contoso' },
  { type: 'az acr credential show -n contoso' },
  { type: 'az acr credential renew -n contoso --password-name password2' },
  { type: 'az acr config retention update -r contoso --type UntaggedManifests --status enabled --days 10' },
  { type: 'az acr config retention show -r contoso' },
  { type: 'az acr config soft-delete update -r contoso --status enabled --days 30 --yes' },
  { type: 'az acr config soft-delete show -r contoso' },
  { type: 'az acr config content-trust update -r contoso --status disabled', only: '2.45.0' },
  { type: 'az acr config content-trust update -r contoso --status disabled --yes', only: '2.91.0' },
  { type: 'az acr config authentication-as-arm update -r contoso --status disabled' },
  { type: 'az acr config authentication-as-arm show -r contoso' },
  { type: 'az acr network-rule add -n contoso --ip-address 203.0.113.0/24' },
  { type: 'az acr network-rule list -n contoso' },
  { type: 'az acr network-rule remove -n contoso --ip-address 203.0.113.0/24' },
  { type: "az acr identity assign -n contoso --identities '[system]'" },
  { type: 'az acr identity show -n contoso' },
  { type: "az acr identity remove -n contoso --identities '[system]'" },
  { type: 'az acr encryption show -n contoso' },
  { type: 'az resource list -g demo' },
  { type: `az resource show --ids ${registry}` },
  { type: `az tag update --resource-id ${registry} --operation Merge --tags c=d` },
  { type: 'az lock create -n keep --lock-type CanNotDelete -g demo --only-show-errors' },
  { type: 'az lock list -g demo' },
  { type: 'az acr delete -n contoso -y', fails: true },
  { type: 'az lock delete -n keep -g demo' },
  { type: 'az deployment group create -g demo -n first -f template.json -p name=fabrikam' },
  { type: 'az deployment group show -g demo -n first' },
  { type: 'az deployment group list -g demo' },
  { type: 'az deployment operation group list -g demo -n first' },
  { type: 'az deployment group what-if -g demo -n second -f template.json -p name=fabrikam --no-pretty-print' },
  { type: 'az deployment group create -g demo -n third -f template.json -p name=x', fails: true },
  { type: 'az ad sp create-for-rbac -n robot' },
  { type: 'az ad app list --display-name robot' },
  { type: 'az ad sp list --display-name robot' },
  { type: 'az ad user list' },
  { type: 'az ad group create --display-name team --mail-nickname team' },
  { type: 'az ad group list --display-name team' },
  { type: 'az acr delete -n contoso -y' },
  { type: 'az acr delete -n missing1 -g demo -y' },
  { type: 'az group delete -n demo -y' },
];
