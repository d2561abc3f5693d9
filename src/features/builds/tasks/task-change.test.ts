import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { forEachDatabase } from '../../../../test/support/databases.ts';
import { type SampleProcess, sampleAccess, sampleProcess } from '../../../../test/support/sample-access.ts';
import { sampleTask, sampleTasks } from '../../../../test/support/sample-tasks.ts';
import { BerthError } from '../../../core/errors.ts';
import type { Database } from '../../../platform/database/database.ts';
import { HeldClock } from '../../../platform/held-clock.ts';
import { tenantStreamOf } from '../../../platform/journal/journal.ts';
import { type JsonObject, mergeJson } from '../../../wire/arm/json.ts';
import type { Resource } from '../../resources/resource.ts';
import { storedTaskOf } from './task.ts';
import { newTaskRun } from './task-run.ts';
import { openTask } from './task-secrets.ts';

const secrets = ['hunter2', 'gitToken', 'registryPassword'];

/** A task with a secret in every place that has one. */
function secretTask(): JsonObject {
  const task = sampleTask('app');
  return mergeJson(task, {
    step: {
      contextAccessToken: 'gitToken',
      arguments: [
        { name: 'PASSWORD', value: 'hunter2', isSecret: true },
        { name: 'COLOR', value: 'red' },
      ],
    },
    trigger: {
      timerTriggers: [{ name: 't1', schedule: '0 1 * * *' }],
      sourceTriggers: [
        {
          name: 'source',
          sourceTriggerEvents: ['commit'],
          sourceRepository: {
            sourceControlType: 'github',
            repositoryUrl: 'https://git.example/team/app.git',
            sourceControlAuthProperties: { tokenType: 'PAT', token: 'gitToken' },
          },
        },
      ],
      baseImageTrigger: { name: 'base' },
    },
    credentials: {
      customRegistries: {
        'other.example': {
          userName: { type: 'Opaque', value: 'bob' },
          password: { type: 'Opaque', value: 'registryPassword' },
        },
      },
    },
  });
}

forEachDatabase((_, open) => {
  const clock = new HeldClock();
  let database: Database;
  let here: SampleProcess;
  let tasks: Awaited<ReturnType<typeof sampleTasks>>;
  let tenantUid = '';

  before(async () => {
    database = await open();
    const sample = await sampleAccess(database);
    tenantUid = sample.tenantUid;
    here = await sampleProcess(database, tenantUid, clock);
    tasks = await sampleTasks({ ...sample, ...here.account, database, journal: here.journal, clock });
  });

  const details = (resource: Resource) => openTask(here.account, resource);
  const merge = (name: string, patch: JsonObject) => tasks.patch(name, (stored) => mergeJson(stored, patch));
  const refused = async (name: string, properties: JsonObject, message: RegExp) =>
    await assert.rejects(tasks.put(name, properties), (error) => {
      assert(error instanceof BerthError);
      assert.match(JSON.stringify(error.detail), message);
      return true;
    });

  test('no secret is in what is stored, shown or told; its owner gets all of them back', async () => {
    const resource = await tasks.put('secret-task', secretTask());
    const stream = tenantStreamOf(tenantUid);
    const events = await here.journal.after(await here.journal.start(stream), 500);
    const shown = JSON.stringify([tasks.type.properties(resource, ''), resource.properties, events]);
    for (const secret of secrets) assert(!shown.includes(secret), secret);
    const whole = JSON.stringify(details(resource));
    for (const secret of secrets) assert(whole.includes(secret), secret);
  });

  test('the same once more changes nothing', async () => {
    const first = await tasks.put('same-task', secretTask());
    const second = await tasks.put('same-task', secretTask());
    assert.equal(second.etag, first.etag);
    assert.equal((await merge('same-task', {})).etag, first.etag);
  });

  test('a merge changes what it names, by name, and keeps the rest with its secrets', async () => {
    await tasks.put('merge-task', secretTask());
    const merged = await merge('merge-task', {
      step: { type: 'Docker', arguments: [{ name: 'color', value: 'blue' }] },
      trigger: {
        timerTriggers: [
          { name: 't2', schedule: '0 2 * * *' },
          { name: 't1', status: 'Disabled' },
        ],
      },
      credentials: {},
    });
    const { step, trigger, credentials } = details(merged);
    assert(step?.type === 'Docker');
    assert.deepEqual(
      step.arguments?.map(({ value }) => value),
      ['hunter2', 'blue'],
    );
    assert.deepEqual(trigger?.timerTriggers, [
      { name: 't1', schedule: '0 1 * * *', status: 'Disabled' },
      { name: 't2', schedule: '0 2 * * *', status: 'Enabled' },
    ]);
    assert.equal(trigger?.sourceTriggers?.[0]?.sourceRepository.sourceControlAuthProperties?.token, 'gitToken');
    assert.equal(credentials?.customRegistries?.['other.example']?.password?.value, 'registryPassword');
    const without = await tasks.patch('merge-task', (stored) =>
      mergeJson(stored, { credentials: { customRegistries: { 'other.example': null } } }),
    );
    assert.deepEqual(details(without).credentials?.customRegistries ?? {}, {});
  });

  test('artifacts of different registries are not of one server', async () => {
    const own = 'oci://own.example/team/files:v1';
    const resource = await tasks.put(
      'artifact-task',
      mergeJson(secretTask(), { step: { type: 'Docker', contextPath: own }, trigger: null }),
    );
    const asked = { registryUid: 'r', resource, task: details(resource), trigger: { kind: 'manual' } } as const;
    const run = (contextPath: string) => newTaskRun({ ...asked, isByRepository: false, overrides: { contextPath } });
    const secretsOf = ({ source, work, customRegistries }: ReturnType<typeof run>) => [
      source.kind === 'remote' && source.accessToken !== undefined,
      work.kind === 'dockerBuild' && work.arguments.some(({ isSecret }) => isSecret),
      customRegistries.length > 0,
    ];
    assert.deepEqual(secretsOf(run(own)), [true, true, true]);
    assert.deepEqual(secretsOf(run('oci://evil.example/team/files:v1')), [false, false, false]);
    assert.equal(run(own).notes, undefined);
    assert.match(run('oci://evil.example/team/files:v1').notes?.join() ?? '', /its secret values .* are left out/);
    const moved = await merge('artifact-task', { step: { type: 'Docker', contextPath: 'oci://evil.example/x:v1' } });
    assert.equal(details(moved).step?.contextAccessToken, undefined);
  });

  test('an address of GitHub is of the repository that it is with a scheme', async () => {
    const own = 'github.com/team/app.git#main';
    const resource = await tasks.put(
      'short-task',
      mergeJson(secretTask(), { step: { type: 'Docker', contextPath: own }, trigger: null }),
    );
    const hasToken = (contextPath: string) => {
      const asked = { registryUid: 'r', resource, task: details(resource), trigger: { kind: 'manual' } } as const;
      const { source } = newTaskRun({ ...asked, isByRepository: false, overrides: { contextPath } });
      return source.kind === 'remote' && source.accessToken !== undefined;
    };
    for (const [address, expected] of [
      ['github.com/team/app#other', true],
      ['https://github.com/team/app.git#v1', true],
      ['GitHub.com/team/app', true],
      ['github.com/team/other#main', false],
      ['github.com/team/app#pull/1/head', false],
      ['github.com.evil.example/team/app#main', false],
      ['http://github.com/team/app#main', false],
    ] as const)
      assert.equal(hasToken(address), expected, address);
  });

  test('a whole task says everything: what it leaves out is gone', async () => {
    await tasks.put('whole-task', secretTask());
    const whole = await tasks.put('whole-task', sampleTask('app'));
    const { trigger, credentials } = details(whole);
    assert.equal(trigger, undefined);
    assert.equal(credentials, undefined);
    assert.equal(
      (await database.read.selectFrom('task_timers').selectAll().where('task_uid', '=', whole.uid).execute()).length,
      0,
    );
  });

  test('a context that moves to another host does not take its token along', async () => {
    await tasks.put('move-task', secretTask());
    const moved = await merge('move-task', {
      step: { type: 'Docker', contextPath: 'https://evil.example/team/app.git' },
    });
    assert.equal(details(moved).step?.contextAccessToken, undefined);
    const run = newTaskRun({
      registryUid: 'r',
      resource: moved,
      task: details(moved),
      isByRepository: false,
      trigger: { kind: 'manual' },
    });
    assert(run.source.kind === 'remote');
    assert.equal(run.source.accessToken, undefined);
  });

  test('a run has what its task says, and what it was asked for otherwise', async () => {
    const resource = await tasks.put('run-task', secretTask());
    const asked = { registryUid: 'r', resource, task: details(resource), trigger: { kind: 'manual' } } as const;
    const run = newTaskRun({ ...asked, isByRepository: false });
    assert(run.work.kind === 'dockerBuild' && run.source.kind === 'remote');
    assert.equal(run.source.accessToken, 'gitToken');
    assert.deepEqual(run.authority, { kind: 'principal', principalId: 'owner', principalType: 'User' });
    assert.deepEqual(run.customRegistries, [
      { server: 'other.example', username: 'bob', password: 'registryPassword' },
    ]);
    const other = newTaskRun({
      ...asked,
      isByRepository: false,
      caller: { uid: 'caller', name: 'Carla', kind: 'User' },
      overrides: {
        contextPath: 'https://evil.example/x.git',
        file: 'Other',
        arguments: [{ name: 'COLOR', value: 'green', isSecret: false }],
      },
    });
    assert(other.work.kind === 'dockerBuild' && other.source.kind === 'remote');
    assert.equal(other.work.dockerFile, 'Other');
    assert.deepEqual(
      other.work.arguments.map(({ value }) => value),
      ['green'],
      'secrets are for files of the host of the task',
    );
    assert.deepEqual(other.customRegistries, []);
    assert.equal(other.source.accessToken, undefined, 'the token is for the host of the task');
    assert.partialDeepStrictEqual(other.authority, { principalId: 'caller' });
    assert.deepEqual(newTaskRun({ ...asked, isByRepository: true }).authority, { kind: 'none' });
    const none = { ...asked.task, credentials: { sourceRegistry: { loginMode: 'None' as const } } };
    assert.deepEqual(newTaskRun({ ...asked, task: none, isByRepository: false }).authority, { kind: 'none' });
  });

  test('credentials that a key vault keeps are read as the identity that they name, and never for other files', async () => {
    const ofVault = (name: string) => ({ type: 'Vaultsecret', value: `https://team.vault.example/secrets/${name}` });
    const credential = { userName: { value: 'bob' }, password: ofVault('deploy'), identity: '[system]' };
    const resource = await tasks.put(
      'vault-task',
      mergeJson(secretTask(), { credentials: { customRegistries: { 'other.example': credential } } }),
      { identity: { type: 'SystemAssigned' } },
    );
    assert(!JSON.stringify(resource.properties).includes('team.vault'));
    const run = (contextPath?: string) =>
      newTaskRun({
        ...{ registryUid: 'r', resource, task: details(resource), isByRepository: false, trigger: { kind: 'manual' } },
        overrides: { contextPath },
      }).customRegistries.map(({ server, username, password, vault }) => ({ server, username, password, vault }));
    const { value: keyvault } = ofVault('deploy');
    assert.deepEqual(run(), [
      {
        server: 'other.example',
        username: 'bob',
        password: undefined,
        vault: { password: { id: 'deploy', keyvault } },
      },
    ]);
    assert.deepEqual(run('https://evil.example/x.git'), []);
    const ofSameRepository = `${details(resource).step?.contextPath?.split('#')[0]}#other`;
    assert.deepEqual(run(ofSameRepository), []);
  });

  test('other files have the rights of whoever names them, never the identity of the task', async () => {
    const own = { userName: { value: 'bob' }, password: { value: 'registryPassword' } };
    const resource = await tasks.put(
      'identity-task',
      mergeJson(secretTask(), {
        credentials: {
          sourceRegistry: { identity: '[system]' },
          customRegistries: { 'third.example': { identity: '[system]' }, 'other.example': own },
        },
      }),
      { identity: { type: 'SystemAssigned' } },
    );
    const run = (contextPath?: string, isByRepository = false) =>
      newTaskRun({
        registryUid: 'r',
        resource,
        task: details(resource),
        isByRepository,
        trigger: { kind: 'manual' },
        caller: { uid: 'caller', name: 'Carla', kind: 'User' },
        overrides: { contextPath },
      });
    const facts = ({ authority, customRegistries, work, vaultAccess }: ReturnType<typeof run>) => [
      authority.kind === 'none' ? 'none' : authority.principalType,
      customRegistries.map(({ server }) => server).toSorted(),
      work.kind === 'dockerBuild' && work.arguments.map(({ name }) => name),
      vaultAccess?.kind,
    ];
    const whole = ['ServicePrincipal', ['other.example', 'third.example'], ['PASSWORD', 'COLOR'], 'identities'];
    assert.deepEqual(facts(run()), whole);
    assert.deepEqual(facts(run('https://git.example/team/app.git#main')), whole, 'the files of the task by name');
    const evil = ['User', [], ['COLOR'], 'none'];
    assert.deepEqual(facts(run('https://evil.example/x.git')), evil);
    const sameHost = facts(run('https://git.example/team/app.git#other'));
    assert.deepEqual(sameHost, ['User', ['other.example'], ['PASSWORD', 'COLOR'], 'none']);
    assert.deepEqual(facts(run('https://git.example/team/app#refs/heads/side/way:folder')), sameHost);
    assert.deepEqual(facts(run('https://evil.example/x.git', true)), ['none', [], ['COLOR'], 'none']);
    const commit = '0a'.repeat(20);
    for (const strangers of [
      'https://git.example/evil/app.git#main',
      'https://git.example/team/app.git.git#main',
      ...['pull/3/head', 'refs/pull/3/head', 'merge-requests/3/head', commit].map(
        (ref) => `https://git.example/team/app.git#${ref}`,
      ),
    ])
      assert.deepEqual(facts(run(strangers)), evil, strangers);
  });

  test('whoever changed last what a task does lends it their rights, and nobody who changed the rest', async () => {
    const [carla, otto] = (['carla', 'otto'] as const).map((uid) => ({ uid, name: uid, kind: 'User' }) as const);
    const rightsOf = (resource: Resource) => {
      const { authority } = newTaskRun({
        registryUid: 'r',
        resource,
        task: details(resource),
        isByRepository: false,
        trigger: { kind: 'manual' },
      });
      return authority.kind === 'principal' && authority.principalId;
    };
    const change = async (by: typeof carla, patch: JsonObject, identity?: JsonObject) =>
      rightsOf(
        await tasks.patch('lent-task', (stored) => mergeJson(stored, patch), {
          ...(by && { by }),
          ...(identity && { identity }),
        }),
      );
    const source = (more: JsonObject) => ({
      trigger: { sourceTriggers: [{ name: 'source', sourceRepository: more }] },
    });
    assert.equal(rightsOf(await tasks.put('lent-task', secretTask(), carla && { by: carla })), 'carla');
    assert.equal(await change(otto, { trigger: { timerTriggers: [{ name: 't1', schedule: '0 5 * * *' }] } }), 'carla');
    assert.equal(
      await change(otto, { timeout: 900, step: { type: 'Docker', noCache: false }, credentials: {} }),
      'carla',
    );
    assert.equal(
      rightsOf(await tasks.put('lent-task', { ...secretTask(), timeout: 600 }, otto && { by: otto })),
      'carla',
    );
    assert.equal(await change(otto, { step: { type: 'Docker', dockerFilePath: 'Other' } }), 'otto');
    const password = { password: { type: 'Opaque', value: 'changed' } };
    assert.equal(await change(carla, { credentials: { customRegistries: { 'other.example': password } } }), 'carla');
    assert.equal(await change(otto, source({ branch: 'side' })), 'otto');
    assert.equal(await change(carla, {}, { type: 'SystemAssigned' }), 'carla');
    assert.equal(
      await change(otto, { stepAuthor: { uid: 'owner', name: 'Olivia', kind: 'User' }, status: 'Disabled' }),
      'carla',
    );
    const shown = tasks.type.properties(await tasks.patch('lent-task', (stored) => stored), '');
    assert.equal(shown.stepAuthor, undefined);
  });

  test('what is wrong is refused and named', async () => {
    const timers = (...list: readonly JsonObject[]) => sampleTask('app', { trigger: { timerTriggers: list } });
    await refused('bad1-task', { platform: { os: 'linux' } }, /needs a step/);
    await refused('bad1-task', sampleTask('app', { timeout: 299 }), /properties.timeout/);
    await refused('bad1-task', sampleTask('app', { timeout: 28_801 }), /properties.timeout/);
    await refused('bad1-task', sampleTask('app', { platform: { os: 'plan9' } }), /properties.platform.os/);
    await refused('bad1-task', timers({ name: 'a', schedule: '0 0 * * 7' }), /7 is no day of week/);
    await refused('bad1-task', timers({ name: 'a', schedule: '0 0 31 4 *' }), /never comes/);
    await refused(
      'bad1-task',
      timers({ name: 'a', schedule: '0 1 * * *' }, { name: 'A', schedule: '0 2 * * *' }),
      /there twice/,
    );
    await refused(
      'bad1-task',
      timers({ name: 'a', schedule: '0 1 * * *' }, { name: 'b', schedule: '0  1 * * *' }),
      /there twice/,
    );
    const vault = { userName: { type: 'Vaultsecret', value: 'https://vault.example/keys/x' } };
    await refused(
      'bad1-task',
      sampleTask('app', { credentials: { customRegistries: { 'a.example': vault } } }),
      /not https:\/\/<vault>\/secrets/,
    );
    const source = {
      name: 's',
      sourceTriggerEvents: ['commit'],
      sourceRepository: { repositoryUrl: 'https://git.example/a.git' },
    };
    const artifact = { step: { type: 'FileTask', taskFilePath: 'acb.yaml', contextPath: 'oci://a.example/b:c' } };
    await refused('bad1-task', { ...artifact, trigger: { sourceTriggers: [source] } }, /git repository/);
    const called = { name: 'base', updateTriggerEndpoint: 'ftp://hooks.example/key' };
    await refused('bad1-task', sampleTask('app', { trigger: { baseImageTrigger: called } }), /http:\/\/ or https/);
    const signedIn = { name: 'base', updateTriggerEndpoint: 'https://user:secret@hooks.example/' };
    await refused(
      'bad1-task',
      sampleTask('app', { trigger: { baseImageTrigger: signedIn } }),
      /cannot hold a user name/,
    );
    await refused('bad1-task', sampleTask('app', { logTemplate: 'logs:{{.Run.ID}}' }), /leave the log template out/);
    await refused('bad1-task', sampleTask('app', { agentPoolName: 'nowhere' }), /no agent pool 'nowhere'/);
    await refused('bad', sampleTask('app'), /5 to 50/);
  });

  test('a task that was stored with more registries than are taken now is read, and may have fewer', async () => {
    const named = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_each, at) => [`r${at}.test`, { identity: '[caller]' }]));
    const credentials = (count: number) => ({ credentials: { customRegistries: named(count) } });
    await refused('many-task', sampleTask('many', credentials(101)), /at most 100 registries/);
    const { uid, properties } = await tasks.put('many-task', sampleTask('many', credentials(100)));
    await database.transaction(async (tx) => {
      const stored = JSON.stringify({ ...properties, ...credentials(103) });
      await tx.updateTable('resources').set({ properties: stored }).where('uid', '=', uid).execute();
    });
    const count = (resource: Resource) => Object.keys(details(resource).credentials?.customRegistries ?? {}).length;
    assert.equal(count(await merge('many-task', { status: 'Disabled' })), 103);
    assert.equal(count(await merge('many-task', { credentials: { customRegistries: { 'r0.test': null } } })), 102);
    await assert.rejects(merge('many-task', credentials(103)), { error: 'resourceInvalid' });
  });

  test('names of kinds and states are read in any case', async () => {
    const resource = await tasks.put(
      'case-task',
      sampleTask('app', { status: 'disabled', platform: { os: 'Linux', architecture: 'AMD64' } }),
    );
    const { status, platform } = storedTaskOf(resource);
    assert.deepEqual([status, platform?.os, platform?.architecture], ['Disabled', 'linux', 'amd64']);
  });
});
