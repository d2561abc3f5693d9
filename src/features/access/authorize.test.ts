import assert from 'node:assert/strict';
import { afterEach, before, beforeEach, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import {
  basic,
  type SampleAccess,
  type SampleProcess,
  sampleAccess,
  sampleCircumstances,
  sampleProcess,
} from '../../../test/support/sample-access.ts';
import { BerthError } from '../../core/errors.ts';
import { parseRepositoryName } from '../../core/repository-name.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { regenerateAdminPassword } from '../identity/admin-account.ts';
import type { Registry } from '../registries/registry.ts';
import type { Action } from './decision.ts';

const repository = parseRepositoryName('team/app');

forEachDatabase((_, open) => {
  let database: Database;
  let sample: SampleAccess;
  let clock: HeldClock;
  let here: SampleProcess;
  let there: SampleProcess;

  before(async () => {
    database = await open();
    sample = await sampleAccess(database);
  });
  beforeEach(async () => {
    clock = new HeldClock();
    here = await sampleProcess(database, sample.tenantUid, clock);
    there = await sampleProcess(await open({ again: database }), sample.tenantUid, clock);
    await here.registries.setAdminEnabled({ registryUid: sample.registryUid, isOn: true, actor: 'test' });
    await here.registries.setAnonymousPull({ registryUid: sample.registryUid, isOn: false, actor: 'test' });
    await there.directory.refresh();
  });
  afterEach(async () => {
    await here.close();
    await there.close();
  });

  const registry = (at: SampleProcess, uid = sample.registryUid): Registry => {
    const found = at.directory.byUid(uid);
    assert(found);
    return found;
  };
  const ask = (at: SampleProcess, authorization: string | undefined, action: Action, uid?: string) =>
    at.authorize({
      registry: registry(at, uid),
      authorization,
      action,
      ...(action === 'catalogList' || action === 'connect' || action === 'administer' ? {} : { repository }),
      circumstances: sampleCircumstances,
    });
  const admin = async (which = 0) => basic('Contoso', (await sample.adminPasswords(sample.registryUid))[which] ?? '');
  const token = async (authorization: string | undefined, actions: readonly string[], at = here) => {
    const asked = [{ type: 'repository', name: repository, actions } as const];
    const { accessToken } = await at.issueTokens({
      registry: registry(at),
      credentials: { kind: 'header', authorization },
      asked,
      wantsRefreshToken: false,
      circumstances: sampleCircumstances,
    });
    return `Bearer ${accessToken}`;
  };

  test('the owner and the admin account may do everything by Basic, from the first password and the second', async () => {
    const { clientId, clientSecret, userName, password } = sample.owner;
    for (const header of [
      await admin(0),
      await admin(1),
      basic(clientId, clientSecret),
      basic(clientId.toUpperCase(), clientSecret),
      basic(userName, password),
    ]) {
      for (const action of ['connect', 'pull', 'push', 'delete', 'metadata_write', 'catalogList'] as const) {
        const authority = await ask(here, header, action);
        assert.equal(authority.epoch(), here.directory.epoch());
        assert.deepEqual(authority.visible(), { kind: 'all' });
        assert.equal(authority.allows('push', 'another/one'), true);
      }
    }
  });

  test('only the owner administers, and only by Basic on the admin surface', async () => {
    const request = {
      registry: registry(here),
      action: 'administer',
      circumstances: { ...sampleCircumstances, surface: 'admin' },
    } as const;
    const owner = basic(sample.owner.clientId, sample.owner.clientSecret);
    await here.authorize({ ...request, authorization: owner });
    await assert.rejects(here.authorize({ ...request, authorization: await admin() }), error('denied', 'administer'));
    await assert.rejects(ask(here, owner, 'administer'), error('denied', 'administer'));
    await assert.rejects(
      here.authorize({ ...request, authorization: await token(owner, ['*']) }),
      error('insufficientScope', 'administer'),
    );
  });

  test('without credentials everything is refused, and the detail holds what to ask for', async () => {
    const rows: readonly [Action, unknown][] = [
      ['connect', undefined],
      ['pull', [{ Type: 'repository', Name: repository, Action: 'pull' }]],
      [
        'push',
        [
          { Type: 'repository', Name: repository, Action: 'pull' },
          { Type: 'repository', Name: repository, Action: 'push' },
        ],
      ],
      ['delete', [{ Type: 'repository', Name: repository, Action: 'delete' }]],
      ['catalogList', [{ Type: 'registry', Name: 'catalog', Action: '*' }]],
    ];
    for (const [action, detail] of rows) {
      await assert.rejects(ask(here, undefined, action), { error: 'unauthorized', detail });
    }
  });

  test('with anonymous pull a stranger may read and nothing else, and is still asked to sign in at the front door', async () => {
    await here.registries.setAnonymousPull({ registryUid: sample.registryUid, isOn: true, actor: 'test' });
    const authority = await ask(here, undefined, 'pull');
    assert.equal(authority.principal.kind, 'anonymous');
    assert.equal(authority.allows('push', repository), false);
    await ask(here, undefined, 'catalogList');
    await ask(here, undefined, 'metadata_read');
    await assert.rejects(ask(here, undefined, 'connect'), error('unauthorized'));
    await assert.rejects(ask(here, undefined, 'push'), error('unauthorized', 'pull', 'push'));
    await assert.rejects(ask(here, undefined, 'pull', sample.otherUid), error('unauthorized', 'pull'));
    const stranger = await token(undefined, ['pull', 'push']);
    await ask(here, stranger, 'connect');
    await ask(here, stranger, 'pull');
    await assert.rejects(ask(here, stranger, 'push'), error('insufficientScope', 'pull', 'push'));
    await here.registries.setAnonymousPull({ registryUid: sample.registryUid, isOn: false, actor: 'test' });
    await assert.rejects(ask(here, stranger, 'pull'), error('unauthorized', 'pull'));
  });

  test('a token opens what it was granted and nothing more', async () => {
    const pull = await token(await admin(), ['pull']);
    const authority = await ask(here, pull, 'pull');
    assert.equal(authority.principal.kind, 'registryAdmin');
    assert.equal(authority.allows('pull', repository), true);
    assert.equal(authority.allows('pull', 'team/other'), false);
    assert.equal(authority.allows('push', repository), false);
    await ask(here, pull, 'connect');
    for (const action of ['push', 'delete', 'catalogList'] as const) {
      await assert.rejects(ask(here, pull, action), { error: 'insufficientScope' });
    }
  });

  test('a token and an admin password are worth nothing on another registry', async () => {
    await assert.rejects(
      ask(here, await token(await admin(), ['pull']), 'pull', sample.otherUid),
      error('credentialsWrong', 'pull'),
    );
    await assert.rejects(ask(here, await admin(), 'pull', sample.otherUid), error('credentialsWrong', 'pull'));
  });

  test('a token ends 60 seconds after it expired, also where it is known already', async () => {
    const pull = await token(await admin(), ['pull']);
    await ask(here, pull, 'pull');
    clock.advance(4_559_000);
    await ask(here, pull, 'pull');
    await ask(there, pull, 'pull');
    clock.advance(1000);
    await assert.rejects(ask(here, pull, 'pull'), error('credentialsWrong', 'pull'));
    await assert.rejects(ask(there, pull, 'pull'), error('credentialsWrong', 'pull'));
  });

  test('a malformed header and a wrong password are refused', async () => {
    const [right = ''] = await sample.adminPasswords(sample.registryUid);
    const headers = {
      empty: '',
      'no credentials': 'Basic',
      'not base64': 'Basic !!!',
      'no colon': `Basic ${Buffer.from('contoso').toString('base64')}`,
      'not UTF-8': `Basic ${Buffer.from([0xff, 0x3a, 0x41]).toString('base64')}`,
      'another scheme': 'Digest username="contoso"',
      'not a token': 'Bearer abc',
      'a token of three parts': 'Bearer a.b.c',
      'wrong password': basic('contoso', 'wrong'),
      'unknown user': basic('nobody', right),
      'empty password': basic('contoso', ''),
    };
    for (const [label, header] of Object.entries(headers)) {
      await assert.rejects(ask(here, header, 'pull'), error('credentialsWrong', 'pull'), label);
    }
  });

  test('a disabled admin account, its tokens included, ends with the next question on every process', async () => {
    const header = await admin();
    const bearer = await token(header, ['pull']);
    for (const at of [here, there]) for (const credentials of [header, bearer]) await ask(at, credentials, 'pull');
    const authority = await ask(there, header, 'pull');
    await here.registries.setAdminEnabled({ registryUid: sample.registryUid, isOn: false, actor: 'test' });
    for (const credentials of [header, bearer]) {
      await assert.rejects(ask(here, credentials, 'pull'), error('credentialsWrong', 'pull'));
      await assert.rejects(ask(there, credentials, 'connect'), error('credentialsWrong'));
    }
    await assert.rejects(authority.confirm(here.directory.epoch()), error('credentialsWrong', 'pull'));
  });

  test('confirm goes on when the right still stands, and moves the epoch', async () => {
    const authority = await ask(there, await token(await admin(), ['pull']), 'pull');
    await here.registries.setAnonymousPull({ registryUid: sample.registryUid, isOn: true, actor: 'test' });
    assert.equal(authority.epoch(), here.directory.epoch() - 1);
    await authority.confirm(here.directory.epoch());
    assert.equal(authority.epoch(), here.directory.epoch());
  });

  test('a regenerated password ends the old one and the tokens bought with it, and leaves the other', async () => {
    const [first, second] = [await admin(0), await admin(1)];
    const [withFirst, withSecond] = [await token(first, ['pull']), await token(second, ['pull'])];
    const { tenantUid, registryUid } = sample;
    await regenerateAdminPassword(here.account, here.journal, {
      tenantUid,
      registryUid,
      name: 'password',
      actor: 'test',
    });
    for (const at of [here, there]) {
      await assert.rejects(ask(at, first, 'connect'), error('credentialsWrong'));
      await assert.rejects(ask(at, withFirst, 'connect'), error('credentialsWrong'));
      await ask(at, second, 'pull');
      await ask(at, withSecond, 'pull');
      await ask(at, await admin(0), 'pull');
    }
  });

  test('a token granted at a newer epoch makes another process catch up', async () => {
    await here.registries.setAnonymousPull({ registryUid: sample.registryUid, isOn: true, actor: 'test' });
    const authority = await ask(there, await token(await admin(), ['pull']), 'pull');
    assert.equal(authority.epoch(), here.directory.epoch());
  });

  test('known credentials need no query', async () => {
    const headers = [await admin(), await token(await admin(), ['pull'])];
    for (const header of headers) await ask(here, header, 'pull');
    const closed = await open({ again: database });
    const process = await sampleProcess(closed, sample.tenantUid, clock);
    for (const header of headers) await ask(process, header, 'pull');
    await process.close();
    await closed.close();
    for (const header of headers) await ask(process, header, 'pull');
  });

  test('sign-ins, failed sign-ins, token issue and denials are lines of the access log; a first question is not', async () => {
    await assert.rejects(ask(there, undefined, 'pull'));
    await assert.rejects(ask(there, basic('contoso', 'wrong'), 'pull'));
    await assert.rejects(ask(there, await token(await admin(), ['pull'], there), 'push'));
    const lines = (await there.accessLines()).slice(-4);
    const told = lines.map(({ kind, status }) => [kind, status]);
    assert.deepEqual(told, [
      ['signIn', 401],
      ['signIn', 200],
      ['tokenIssue', 200],
      ['denial', 401],
    ]);
  });
});

function error(name: string, ...actions: readonly string[]) {
  return (thrown: unknown): boolean => {
    assert(thrown instanceof BerthError);
    assert.equal(thrown.error, name);
    const told = Array.isArray(thrown.detail) ? thrown.detail.map((entry) => entry.Action) : [];
    assert.deepEqual(told, actions);
    return true;
  };
}
