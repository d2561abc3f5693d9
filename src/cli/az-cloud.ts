import { lookup } from 'node:dns/promises';
import { type CloudSurroundings, type Command, exitCodes, NoServer } from './command.ts';

/** What the Azure CLI knows this installation by. */
const cloudName = 'Berth';

export const azCloudCommands: readonly Command[] = [
  {
    words: ['az-cloud'],
    purpose:
      'print shell lines that make the Azure CLI use this installation, signed in as its owner: eval "$(berth az-cloud)"',
    options: [{ name: 'cloud-only', meaning: 'leave the sign-in out' }],
    run: async (context, given) => {
      const cloud = context.cloud();
      if (!cloud.origin.startsWith('https://'))
        throw new NoServer('the Azure CLI signs in over https only: start the server with --https');
      for (const line of linesOf(cloud, { withLogin: !given.isSet('cloud-only') })) context.print(line);
      for (const line of await missingHosts(cloud)) context.complain(line);
      return exitCodes.done;
    },
  },
];

/** The lines work with every version from 2.45 on, and may be run again. Source: wire contract, 1.1 to 1.4. */
function linesOf(cloud: CloudSurroundings, { withLogin }: { readonly withLogin: boolean }): string[] {
  const name = quoted(cloudName);
  const config = quoted(JSON.stringify(configOf(cloud)));
  const { tenantId, owner } = cloud;
  return [
    `export REQUESTS_CA_BUNDLE=${quoted(cloud.caBundle)}`,
    `if az cloud show --name ${name} --output none 2>/dev/null; then az cloud update --only-show-errors --name ${name} --cloud-config ${config}; ` +
      `else az cloud register --only-show-errors --name ${name} --cloud-config ${config}; fi`,
    `az cloud set --name ${name} --only-show-errors --output none`,
    ...(withLogin
      ? [
          `az login --service-principal --username ${quoted(owner.clientId)} --password ${quoted(owner.clientSecret)} ` +
            `--tenant ${quoted(tenantId)} --only-show-errors --output none`,
        ]
      : []),
  ];
}

/** Under `/adfs`, as 2.45 asks a public host about every other address first. */
function configOf({ origin, loginServerSuffix, domain }: CloudSurroundings) {
  return {
    endpoints: {
      resourceManager: origin,
      management: origin,
      activeDirectory: `${origin}/adfs`,
      activeDirectoryResourceId: origin,
      activeDirectoryGraphResourceId: `${origin}/graph`,
      microsoftGraphResourceId: `${origin}/graph`,
      gallery: origin,
    },
    suffixes: {
      acrLoginServerEndpoint: loginServerSuffix,
      storageEndpoint: loginServerSuffix.slice(1),
      keyvaultDns: `.vault.${domain}`,
    },
  };
}

/** Names that the Azure CLI will need, and this machine cannot resolve. */
async function missingHosts({ origin, registry }: CloudSurroundings): Promise<string[]> {
  const loginServer = registry.loginServer.replace(/:\d+$/, '');
  // The last one is for files and logs of builds.
  const names = [new URL(origin).hostname, loginServer, loginServer.replace('.', '.blob.')];
  const missing = await Promise.all(names.map(async (name) => ((await resolves(name)) ? [] : [name])));
  return missing
    .flat()
    .map(
      (name) =>
        `The name ${name} does not resolve: add a DNS record, or here the line "127.0.0.1 ${name}" to /etc/hosts.`,
    );
}

async function resolves(name: string): Promise<boolean> {
  try {
    await lookup(name.replace(/^\[(.*)\]$/, '$1'));
    return true;
  } catch {
    return false;
  }
}

/** For a POSIX shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
