import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import { azSetUp } from '../support/az-set-up.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { type Outcome, RunError, tryRun } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

// Debian's Azure CLI (2.45) on a machine that has never seen this installation.

const accountSchema = z.looseObject({
  environmentName: z.string(),
  tenantId: z.string(),
  user: z.object({ name: z.string(), type: z.string() }),
});
const secretSchema = z.looseObject({ appId: z.string(), password: z.string().nullable(), tenant: z.string() });

let server: BerthServer;
const folder = temporaryFolder('az');

before(async () => {
  server = await startBerth();
});
after(async () => {
  await server.remove();
  folder.remove();
});

/** Runs shell lines as a person does who has evaluated the set-up; `machine` keeps what the CLI remembers. */
async function shell(machine: string, lines: string, setUp = ''): Promise<Outcome> {
  return await tryRun('bash', ['-euc', `{ ${azSetUp(server, setUp)}; } >/dev/null\n${lines}`], {
    env: {
      HOME: folder.path,
      AZURE_CONFIG_DIR: `${folder.path}/${machine}`,
      AZURE_CORE_COLLECT_TELEMETRY: 'no',
      AZURE_CORE_NO_COLOR: 'true',
      AZURE_CORE_ONLY_SHOW_ERRORS: 'true',
    },
  });
}

async function json(machine: string, lines: string, setUp?: string): Promise<unknown> {
  const outcome = await shell(machine, lines, setUp);
  if (outcome.code !== 0) throw new RunError(outcome);
  return JSON.parse(outcome.stdout);
}

test('az-cloud signs in the owner on a fresh machine, and may be evaluated again', async () => {
  for (let times = 0; times < 2; times += 1) {
    const account = accountSchema.parse(await json('owner', 'az account show'));
    const { tenantId, owner } = server.bootstrap;
    assert.equal(account.environmentName, 'Berth');
    assert.equal(account.tenantId, tenantId);
    assert.deepEqual(account.user, { name: owner.clientId, type: 'servicePrincipal' });
  }
  const ids = await json('owner', 'az account list --query "[].id"');
  assert.deepEqual(ids, [server.bootstrap.subscriptionId]);
});

test('a person signs in by password, and later commands renew the token', async () => {
  const { userName, password } = server.bootstrap.owner;
  const login = `az login --username '${userName}' --password '${password}' --output none`;
  const account = accountSchema.parse(await json('person', `${login}\naz account show`, '--cloud-only'));
  assert.deepEqual(account.user, { name: userName, type: 'user' });
  const me = await json('person', 'az ad signed-in-user show --query userPrincipalName', '--cloud-only');
  assert.equal(me, userName);
  const registry = 'az account get-access-token --resource https://containerregistry.azure.net --query tokenType';
  assert.equal(await json('person', registry, '--cloud-only'), 'Bearer');
});

test('wrong credentials are told as such', async () => {
  const { tenantId, owner } = server.bootstrap;
  const program = `az login --service-principal --username ${owner.clientId} --password wrong --tenant ${tenantId}`;
  const person = `az login --username ${owner.userName} --password wrong`;
  const refused = await shell('stranger', program, '--cloud-only');
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /AADSTS7000215: Invalid client secret provided/);
  const unknown = await shell('stranger', person, '--cloud-only');
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /AADSTS50126: Invalid user name or password/);
});

test('a service principal is made with a secret and with a certificate, signs in with either, and goes', async () => {
  for (const option of ['', '--create-cert']) {
    const name = `builder${option}`;
    const made = secretSchema.parse(await json('owner', `az ad sp create-for-rbac --name '${name}' ${option}`));
    const proof =
      made.password ?? z.looseObject({ fileWithCertAndPrivateKey: z.string() }).parse(made).fileWithCertAndPrivateKey;
    const login = `az login --service-principal --username ${made.appId} --password '${proof}' --tenant ${made.tenant}`;
    const names = await json('owner', `az ad sp show --id ${made.appId} --query servicePrincipalNames`);
    assert.deepEqual(names, [made.appId]);
    // It owns nothing, and az says so; who it is, is beyond doubt until it goes.
    const allowed = `${login} --allow-no-subscriptions --output none`;
    assert.equal((await shell(`before${option}`, allowed, '--cloud-only')).code, 0);
    assert.equal((await shell('owner', `az ad app delete --id ${made.appId}`)).code, 0);
    assert.match((await shell(`after${option}`, login, '--cloud-only')).stderr, /AADSTS(7000215|700027): /);
    assert.notEqual((await shell('owner', `az ad sp show --id ${made.appId}`)).code, 0);
  }
});

test('people and groups are made, found by name and removed', async () => {
  const made = await json(
    'owner',
    `az ad user create --display-name Ann --user-principal-name ann@example.org --password 'Correct-horse' --query userPrincipalName --output none
az ad group create --display-name makers --mail-nickname makers --output none
ANN=$(az ad user show --id ann@example.org --query id --output tsv)
az ad group member add --group makers --member-id "$ANN"
az ad group member list --group makers --query '[].displayName'`,
  );
  assert.deepEqual(made, ['Ann']);
  const removed = await shell(
    'owner',
    'az ad user delete --id ann@example.org && az ad user show --id ann@example.org',
  );
  assert.notEqual(removed.code, 0);
  assert.match(removed.stderr, /no such object/);
});
