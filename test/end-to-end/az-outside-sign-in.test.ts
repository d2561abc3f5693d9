import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { azSetUp } from '../support/az-set-up.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { type OutsideProviderServer, startOutsideProvider } from '../support/outside-provider.ts';
import { PageVisitor } from '../support/page-visitor.ts';
import { run } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';

// Sign-in of a person of another company's directory with Debian's Azure CLI (2.45).

const ada = { sub: 'subject-1', preferred_username: 'ada@example.com', groups: ['platform'] };
const folder = temporaryFolder('az-outside');
let provider: OutsideProviderServer;
let server: BerthServer;
const environment: Record<string, string> = {
  HOME: folder.path,
  AZURE_CONFIG_DIR: `${folder.path}/az`,
  AZURE_CORE_COLLECT_TELEMETRY: 'no',
  AZURE_CORE_NO_COLOR: 'true',
};

before(async () => {
  provider = await startOutsideProvider(ada);
  server = await startBerth({
    settings: {
      'oidc-issuer': provider.issuer,
      'oidc-client-id': provider.clientId,
      'oidc-name': 'Example',
      'oidc-groups': 'platform=owner',
      'outbound-allow': '127.0.0.0/8',
    },
    env: { BERTH_OIDC_CLIENT_SECRET: provider.clientSecret },
  });
  const setUp = await run('sh', ['-euc', azSetUp(server, '--cloud-only')], { env: environment });
  environment.REQUESTS_CA_BUNDLE = setUp.stdout.trim();
});
after(async () => {
  await server.remove();
  provider.close();
  folder.remove();
});

async function az(...args: readonly string[]): Promise<string> {
  return (await run('az', args, { env: environment })).stdout;
}

test('a person signs in by device code through the outside provider, and is an owner by their group there', async () => {
  const login = spawn('az', ['login', '--use-device-code', '--output', 'json'], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let printed = '';
  let told = '';
  login.stdout.on('data', (chunk: Buffer) => {
    printed += chunk.toString();
  });
  login.stderr.on('data', (chunk: Buffer) => {
    told += chunk.toString();
  });
  const ended = once(login, 'close');
  await waitFor('az tells the code', 120_000, async () => /enter the code \S+ to authenticate/.test(told));
  const [, address = '', code = ''] = /open the page (\S+) and enter the code (\S+) to/.exec(told) ?? [];
  assert.equal(new URL(address).origin, server.https);

  // A person copies the address; this machine's own port without TLS stands in for it.
  const visitor = new PageVisitor();
  await visitor.open(address.replace(server.https, server.http));
  await visitor.follow('Sign in with Example');
  assert.match(visitor.text, /ada@example\.com/);
  await visitor.press('approve', { code });
  assert.match(visitor.text, /The device is signed in/);

  assert.deepEqual(await ended, [0, null], told);
  assert.deepEqual(JSON.parse(printed)[0].user, { name: ada.preferred_username, type: 'user' });
  assert.equal(
    (await az('ad', 'signed-in-user', 'show', '--query', 'userPrincipalName', '-o', 'tsv')).trim(),
    'ada@example.com',
  );
  await az('group', 'create', '-n', 'demo', '-l', 'local', '-o', 'none');
  assert.equal((await az('group', 'list', '--query', "[?name=='demo'].name", '-o', 'tsv')).trim(), 'demo');
});
