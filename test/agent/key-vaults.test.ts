import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import { openCertificateAuthority } from '../../src/platform/certificates/certificate-authority.ts';
import { systemClock } from '../../src/platform/system-clock.ts';
import { systemIds } from '../../src/platform/system-ids.ts';
import { openWorkbench, type Workbench } from '../end-to-end/workbench.ts';
import { armCaller } from '../support/arm-caller.ts';
import { KeyVault } from '../support/key-vault.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';

// Secrets that a key vault keeps, in runs of tasks: read by the server as the identity of the task, used by real steps.

const host = 'team.vault.example';
const value = 'a $HOME, "that" nobody=lists';
const folder = temporaryFolder('key-vaults');
const secrets: Record<string, string> = { npm: value };
let vault: KeyVault;
let bench: Workbench;
let arm: Awaited<ReturnType<typeof armCaller>>;

before(async () => {
  const authority = await openCertificateAuthority({ folder: folder.path, clock: systemClock, ids: systemIds });
  const { certPem: cert, keyPem: key } = await authority.issue({ dns: [host], ip: [] });
  vault = await KeyVault.start({ host, tls: { cert, key }, secrets });
  bench = await openWorkbench({
    settings: { 'outbound-host': `${host}=127.0.0.1:${vault.port}` },
    env: { NODE_EXTRA_CA_CERTS: authority.path },
  });
  arm = await armCaller(bench.server);
  const words = ['--dest-creds', `${bench.username}:${bench.password}`, '--dest-cert-dir', bench.certificates];
  await bench.run('skopeo', ['copy', ...words, 'oci:samples:base', `docker://${bench.named.host}/debian:12`]);
  const { tenantId } = bench.server.bootstrap;
  const keys = await (await fetch(`${bench.server.http}/${tenantId}/discovery/keys`)).json();
  const domain = bench.named.host.replace(/^local\./, '').replace(/:\d+$/, '');
  vault.trust = { issuer: `https://sts.${domain}/${tenantId}/`, keys };
});
after(async () => {
  await bench[Symbol.asyncDispose]();
  await vault.stop();
  folder.remove();
});

/** The value goes into a variable of a step, which prints it in two forms. */
const taskOf = (name: string) => ({
  encodedTaskContent: Buffer.from(`secrets:
  - id: key
    keyvault: https://${host}/secrets/${name}
steps:
  - cmd: '{{.Run.Registry}}/debian:12 bash -c ''printf %s "$KEY" | sha256sum; echo plain: $KEY, coded: $(printf %s "$KEY" | base64 -w0).'''
    env: [{{printf "KEY=%s" .Secrets.key | quote}}]
`).toString('base64'),
});
const taskSchema = z.looseObject({
  id: z.string(),
  identity: z.looseObject({ principalId: z.string() }).optional(),
});
const createTask = async (name: string, secret: string, identity?: object) =>
  taskSchema.parse(
    await arm.put(`tasks/${name}`, {
      ...{ location: 'local', ...(identity && { identity }) },
      properties: { platform: { os: 'linux' }, step: { type: 'EncodedTask', ...taskOf(secret) } },
    }),
  );
const runSchema = z.looseObject({ name: z.string(), properties: z.looseObject({ status: z.string() }) });

const taskRunSchema = z.looseObject({ properties: z.looseObject({ runResult: runSchema }) });

/** The name of the run that a resource stands for. */
const asResource = async (name: string, properties: object) => {
  await arm.put(`taskRuns/${name}`, { identity: { type: 'SystemAssigned' }, properties }, 201);
  return await waitFor(`the run of ${name} is made`, 120_000, async () => {
    const taskRun = taskRunSchema.safeParse(await arm.get(`taskRuns/${name}`));
    return taskRun.data?.properties.runResult.name;
  });
};

/** The status that a run ends with, and its log. */
const ended = async (request: object) => await endOf(runSchema.parse(await arm.post('scheduleRun', request)).name);
const endOf = async (name: string) => {
  const status = await waitFor(`the run ${name} ends`, 180_000, async () => {
    const now = runSchema.parse(await arm.get(`runs/${name}`)).properties.status;
    return !['Queued', 'Started', 'Running'].includes(now) && now;
  });
  const { logLink } = z.looseObject({ logLink: z.string() }).parse(await arm.post(`runs/${name}/listLogSasUrl`));
  const { pathname, search } = new URL(logLink);
  return { status, log: await (await fetch(`${bench.server.http}${pathname}${search}`)).text() };
};
const runOf = ({ id: taskId }: { readonly id: string }) => ended({ type: 'TaskRunRequest', taskId });

test('a step has the value of a secret that the identity of its task may read, and no log shows it', async () => {
  const task = await createTask('reads', 'npm', { type: 'SystemAssigned' });
  const shut = await runOf(task);
  assert.equal(shut.status, 'Failed', shut.log);
  assert.match(
    shut.log,
    /the secret 'key' cannot be read: the key vault team\.vault\.example answered 403 \(Forbidden\)/,
  );
  vault.readers.add(task.identity?.principalId ?? assert.fail('it has an identity'));
  const { status, log } = await runOf(task);
  assert.equal(status, 'Succeeded', log);
  assert.match(log, new RegExp(`^${createHash('sha256').update(value).digest('hex')} `, 'm'));
  assert.match(log, /^plain: \*\*\*, coded: .*\*\*\*.*\./m);
  assert.doesNotMatch(log, /nobody=lists/);
  assert(!log.includes(Buffer.from(value).toString('base64').slice(4, -4)));
});

test('a run without such an identity, or whose vault has no such secret, says so and does nothing', async () => {
  const quick = { type: 'EncodedTaskRunRequest', ...taskOf('npm') };
  const [ofNoTask, resource, bare, wrong] = await Promise.all([
    ended(quick),
    asResource('described', { runRequest: quick }).then(endOf),
    createTask('plain', 'npm').then(runOf),
    createTask('wrong', 'nosuch', { type: 'SystemAssigned' }).then(async (task) => {
      vault.readers.add(task.identity?.principalId ?? assert.fail('it has an identity'));
      return await runOf(task);
    }),
  ]);
  for (const { status, log } of [ofNoTask, resource, bare, wrong]) {
    assert.equal(status, 'Failed', log);
    assert.doesNotMatch(log, /Executing step/);
  }
  assert.match(ofNoTask.log, /identities of tasks read key vaults, and this run is of none/);
  assert.match(resource.log, /answered 403 \(Forbidden\)/, 'its own identity is told to the vault');
  assert.match(bare.log, /the task has no system-assigned identity/);
  assert.match(wrong.log, /the key vault team\.vault\.example answered 404 \(SecretNotFound\)/);
});

test('a run signs in to a registry with the user name and password that a key vault keeps', async () => {
  const { host: server } = bench.named;
  const ofVault = (name: string) => ({ type: 'Vaultsecret', value: `https://${host}/secrets/${name}` });
  const step = Buffer.from(`steps: [{cmd: '${server}/debian:12 echo pulled'}]`).toString('base64');
  const put = async (password: string) =>
    taskSchema.parse(
      await arm.put('tasks/pulls', {
        ...{ location: 'local', identity: { type: 'SystemAssigned' } },
        properties: {
          platform: { os: 'linux' },
          step: { type: 'EncodedTask', encodedTaskContent: step },
          credentials: {
            sourceRegistry: { loginMode: 'None' },
            customRegistries: {
              [server]: { userName: ofVault('user'), password: ofVault(password), identity: '[system]' },
            },
          },
        },
      }),
    );
  const task = await put('word');
  assert.doesNotMatch(JSON.stringify(task), /team\.vault/);
  vault.readers.add(task.identity?.principalId ?? assert.fail('it has an identity'));
  Object.assign(secrets, { user: bench.username, word: bench.password, wrong: 'nobody-has-this-one' });
  const { status, log } = await runOf(task);
  assert.equal(status, 'Succeeded', log);
  assert.match(log, /^pulled\r?$/m);
  assert(!log.includes(bench.password));
  const wrong = await runOf(await put('wrong'));
  assert.equal(wrong.status, 'Failed', wrong.log);
  await put('gone');
  const { name } = runSchema.parse(await arm.post('scheduleRun', { type: 'TaskRunRequest', taskId: task.id }));
  const { properties } = await waitFor('the run ends without an agent', 60_000, async () => {
    const now = runSchema.parse(await arm.get(`runs/${name}`));
    return now.properties.status === 'Error' && now;
  });
  assert.match(
    String(properties.runErrorMessage),
    /the secret 'gone' cannot be read: the key vault team\.vault\.example answered 404 \(SecretNotFound\)/,
  );
});
