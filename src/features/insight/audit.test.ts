import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { rewriteHistory } from '../../../test/support/rewritten-history.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import { createAccessLog } from '../../platform/access-log/create-access-log.ts';
import { folderNotes } from '../../platform/blob-store/folder-notes.ts';
import type { Database } from '../../platform/database/database.ts';
import { createJournal } from '../../platform/journal/create-journal.ts';
import { streamOf, tenantStreamOf } from '../../platform/journal/journal.ts';
import { parseMasterKeys } from '../../platform/keys/master-keys.ts';
import { createSealer } from '../../platform/keys/sealer.ts';
import { createLog } from '../../platform/log.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { insertPrincipal } from '../identity/principal-store.ts';
import { Checkpoints } from './audit-checkpoints.ts';
import { AuditIndex } from './audit-index.ts';
import { type AuditCursor, type AuditFilter, auditPage } from './audit-query.ts';
import type { AuditRecord } from './audit-record.ts';
import { type Finding, verifyAudit } from './audit-verification.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const sealer = createSealer(parseMasterKeys(Buffer.alloc(32, 7).toString('base64')), ids);
const signal = AbortSignal.timeout(600_000);
const tenantUid = 'tenant';
const folder = temporaryFolder('audit');
after(() => folder.remove());

forEachDatabase((_, open) => {
  /** An installation with its audit; the consumer runs until all is noted. */
  async function installation() {
    const database = await open();
    const clock = systemClock;
    const journal = createJournal({ database, clock, ids });
    const notes = folderNotes(join(folder.path, ids.uid()), clock);
    const accessLog = createAccessLog({ database, clock, ids, log });
    const hasty = { ...clock, sleep: (ms: number, by?: AbortSignal) => clock.sleep(Math.min(ms, 10), by) };
    const index = new AuditIndex({ database, journal, clock: hasty, log, tenantUid });
    const parts = { database, journal, clock, tenantUid };
    const stop = new AbortController();
    const following = index.follow(stop.signal);
    return {
      database,
      journal,
      checkpoints: new Checkpoints({ database, clock, ids, sealer, log, notes }),
      push: async (repository: string, tag: string, name: string, registryUid = 'contoso') =>
        await journal.transaction(async (_tx, append) => {
          const request = { id: 'c1', address: '192.0.2.7', name, kind: 'user', userAgent: 'docker' };
          const data = { repository, digest: 'sha256:00', mediaType: 'm', sizeBytes: 7, tags: [tag], request };
          append({
            stream: streamOf(registryUid, 'here'),
            type: 'manifest.pushed',
            version: 1,
            actor: `uid-${name}`,
            data,
          });
        }),
      administer: async (type: string) =>
        await journal.transaction(async (_tx, append) => {
          append({ stream: tenantStreamOf(tenantUid), type, version: 1, actor: 'olivia', data: { a: 1 } });
        }),
      pull: (repository: string, identity: string, registryUid: string | undefined = 'contoso') =>
        accessLog.record({
          kind: 'pull',
          ...(registryUid === undefined ? {} : { registryUid }),
          repository,
          tag: 'v1',
          identity,
          principalKind: 'registryAdmin',
          address: '192.0.2.9',
          correlationId: 'c2',
          status: 200,
        }),
      settle: async () => {
        await accessLog.flush();
        await index.indexAccesses();
        await waitFor('the index', 120_000, async () => {
          const heads = await database.read.selectFrom('journal_heads').select(['stream', 'seq']).execute();
          const cursors = await database.read.selectFrom('journal_cursors').selectAll().execute();
          return heads.every(({ stream, seq }) =>
            cursors.some((each) => each.consumer === 'audit' && each.stream === stream && each.seq === seq),
          );
        });
      },
      all: async (filter: Omit<AuditFilter, 'scope'> & { readonly scope?: string } = {}, limit = 7) => {
        const records: AuditRecord[] = [];
        let after: AuditCursor | undefined;
        do {
          const page = await auditPage(parts, { scope: 'contoso', ...filter }, { after, limit });
          assert(page.records.length <= limit);
          records.push(...page.records);
          after = page.next;
        } while (after !== undefined);
        return records;
      },
      verify: async () => (await Array.fromAsync(verifyAudit({ database, sealer, notes }))) satisfies Finding[],
      close: async () => {
        stop.abort();
        await following;
        await accessLog.close();
      },
    };
  }
  type Installation = Awaited<ReturnType<typeof installation>>;

  test('pages show changes and accesses of a registry together, newest first, each once, whatever the page length', async () => {
    const here = await installation();
    for (let round = 0; round < 30; round += 1) {
      await here.push('app', `v${round}`, 'Olivia');
      here.pull('app', 'victor');
      if (round % 10 === 0) await here.settle();
      await here.push('app', 'x', 'Olivia', 'fabrikam');
      here.pull('app', 'victor', 'fabrikam');
    }
    await here.administer('resource.updated');
    await here.settle();
    for (const limit of [1, 7, 100]) {
      const records = await here.all({}, limit);
      assert.equal(records.length, 60);
      assert.equal(new Set(records.map(({ id }) => id)).size, 60);
      const times = records.map(({ atMicros }) => atMicros);
      assert.deepEqual(
        times,
        times.toSorted((a, b) => b - a),
      );
    }
    assert.deepEqual(
      (await here.all({ scope: tenantUid })).map((each) => each.operationName),
      ['resource.updated'],
    );
    await here.close();
  });

  test('a page is full of lines that are scattered over a hundred batches of two servers', async () => {
    const here = await installation();
    const other = createAccessLog({ database: here.database, clock: systemClock, ids, log });
    const times = Array.from({ length: 130 }, (_, index) => index);
    for (const index of times) {
      here.pull('team/app', index % 2 === 0 ? 'olivia' : 'otto');
      here.pull('team/other', 'noah');
      if (index % 10 === 0) {
        const uid = { kind: 'pull', registryUid: 'contoso', repository: 'team/app', identity: 'olivia' } as const;
        other.record({ ...uid, address: '192.0.2.9', correlationId: 'c3', status: 200 });
        await other.flush();
      }
      await here.settle();
    }
    await other.close();
    await here.close();
    const parts = { ...here, clock: { ...systemClock, monotonicMs: () => 0 }, tenantUid };
    const filter = { scope: 'contoso', identity: 'olivia', repository: 'team/app' };
    const first = await auditPage(parts, filter, { limit: 70 });
    const second = await auditPage(parts, filter, { after: first.next, limit: 70 });
    const records = [...first.records, ...second.records];
    assert.deepEqual([first.records.length, second.records.length, second.next], [70, 8, undefined]);
    assert.equal(new Set(records.map(({ id }) => id)).size, 78);
    assert.deepEqual(
      records.map(({ atMicros }) => atMicros),
      records.map(({ atMicros }) => atMicros).toSorted((a, b) => b - a),
    );
    assert.ok(records.every(({ identity, repository }) => identity === 'olivia' && repository === 'team/app'));
  });

  test('filters: who, what, where, when', async () => {
    const here = await installation();
    await here.push('app', 'v1', 'Olivia');
    await here.push('web', 'v1', 'Victor');
    // The clock of a pull counts whole milliseconds, that of PostgreSQL parts of them.
    await systemClock.sleep(5);
    here.pull('app', 'victor');
    await here.settle();
    const names = async (filter: Parameters<Installation['all']>[0]) =>
      (await here.all(filter)).map((each) => `${each.operationName} ${each.repository}`);
    assert.deepEqual(await names({ identity: 'Olivia' }), ['Push app']);
    assert.deepEqual(await names({ identity: 'uid-Victor' }), ['Push web']);
    assert.deepEqual(await names({ repository: 'app' }), ['Pull app', 'Push app']);
    assert.deepEqual(await names({ repository: 'app', operationName: 'Pull' }), ['Pull app']);
    assert.deepEqual(await names({ repository: 'app', operationName: 'Untag' }), []);
    assert.deepEqual(await names({ callerIpAddress: '192.0.2.7' }), ['Push web', 'Push app']);
    const [pull] = await here.all({ operationName: 'Pull' });
    assert.equal(pull?.principalKind, 'registryAdmin');
    assert.equal((await here.all({ operationName: 'Push' }))[0]?.principalKind, 'user');
    assert.deepEqual(await names({ toMicros: pull?.atMicros ?? 0 }), ['Push web', 'Push app']);
    assert.deepEqual(await names({ fromMicros: pull?.atMicros ?? 0 }), ['Pull app']);
    await here.close();
  });

  test('however many bear a name, what each of them did is found by it, and nothing of others', async () => {
    const here = await installation();
    const uids = Array.from({ length: 100 }, (_, index) => `uid-${index}`);
    await here.database.transaction(async (tx) => {
      const tenant = { uid: tenantUid, tenant_id: ids.guid(), access_epoch: 1, created_at: 0 };
      await tx.insertInto('tenants').values(tenant).execute();
      for (const uid of uids)
        await insertPrincipal(
          tx,
          {
            uid,
            tenantUid,
            kind: 'servicePrincipal',
            loginName: uid,
            displayName: 'ci',
            registryUid: undefined,
            isOwner: false,
          },
          0,
        );
    });
    for (const uid of uids) here.pull('app', uid);
    here.pull('app', 'olivia');
    await here.settle();
    const found = await here.all({ identity: 'ci' });
    assert.deepEqual(found.map(({ principal }) => principal).sort(), uids.toSorted());
    await here.close();
  });

  test('a page of a log that a killed process noted twice shows nothing twice', async () => {
    const here = await installation();
    for (let round = 0; round < 5; round += 1) await here.push('app', `v${round}`, 'Olivia');
    await here.settle();
    await here.database.transaction((tx) => tx.deleteFrom('journal_cursors').where('consumer', '=', 'audit').execute());
    await here.push('app', 'v5', 'Olivia');
    await here.settle();
    for (const limit of [1, 4, 100])
      assert.deepEqual(
        (await here.all({}, limit)).map(({ tag }) => tag),
        ['v5', 'v4', 'v3', 'v2', 'v1', 'v0'],
      );
    await here.close();
  });

  type Tampering = readonly [
    name: string,
    tamper: (database: Database) => Promise<unknown>,
    source: string,
    at: number,
    reason: RegExp,
  ];
  const journalRow = (seq: number) => ['registry/contoso/here', seq] as const;
  const cases: readonly Tampering[] = [
    [
      'a changed event',
      (database) =>
        database.transaction((tx) =>
          tx
            .updateTable('journal_events')
            .set({ bytes: Buffer.from('{}') })
            .where('seq', '=', 3)
            .execute(),
        ),
      'journal',
      3,
      /bytes/,
    ],
    [
      'an event left out',
      (database) => database.transaction((tx) => tx.deleteFrom('journal_events').where('seq', '=', 4).execute()),
      'journal',
      4,
      /missing/,
    ],
    [
      'an event inserted at the end',
      (database) => database.transaction((tx) => insertForged(tx, 11)),
      'journal',
      11,
      /.+/,
    ],
    [
      'history written anew',
      (database) => rewriteHistory(database, journalRow(1)[0]),
      'journal',
      1,
      /not the one that was signed/,
    ],
    [
      'a changed batch of accesses',
      (database) =>
        database.transaction((tx) =>
          tx
            .updateTable('access_batches')
            .set({ bytes: Buffer.from('x') })
            .execute(),
        ),
      'access',
      1,
      /bytes/,
    ],
    [
      'accesses left out',
      (database) => database.transaction((tx) => tx.deleteFrom('access_batches').execute()),
      'access',
      1,
      /signed and are missing/,
    ],
    [
      'a forged checkpoint',
      (database) =>
        database.transaction((tx) =>
          tx.updateTable('audit_checkpoints').set({ signature: 'AAAA' }).where('number', '=', 1).execute(),
        ),
      'checkpoints',
      1,
      /signature/,
    ],
    [
      'a missing checkpoint',
      (database) => database.transaction((tx) => tx.deleteFrom('audit_checkpoints').where('number', '=', 1).execute()),
      'checkpoints',
      1,
      /missing/,
    ],
  ];
  for (const [name, tamper, source, at, reason] of cases)
    test(`verify names ${name}`, async () => {
      const here = await installation();
      for (let round = 0; round < 10; round += 1) await here.push('app', `v${round}`, 'Olivia');
      here.pull('app', 'victor');
      await here.settle();
      await here.checkpoints.write({ signal });
      assert.deepEqual(
        (await here.verify()).map(({ kind }) => kind),
        ['whole', 'whole', 'whole'],
      );
      await here.close();
      await tamper(here.database);
      const [broken, ...others] = (await here.verify()).filter(({ kind }) => kind === 'broken');
      assert.equal(others.length, 0);
      assert.deepEqual([broken?.source, broken?.at], [source, at]);
      assert.match(broken?.reason ?? '', reason);
    });

  test('a stream that goes on is signed again, one that stands still is not', async () => {
    const here = await installation();
    await here.push('app', 'v1', 'Olivia');
    await here.checkpoints.write({ signal });
    await here.checkpoints.write({ signal });
    await here.push('app', 'v2', 'Olivia');
    await here.checkpoints.write({ signal });
    const [checkpoints] = await here.verify();
    assert.deepEqual([checkpoints?.kind, checkpoints?.count], ['whole', 2]);
    await here.close();
  });

  async function insertForged(tx: Parameters<Parameters<Database['transaction']>[0]>[0], seq: number) {
    const [stream] = journalRow(seq);
    const head = await tx
      .selectFrom('journal_heads')
      .selectAll()
      .where('stream', '=', stream)
      .executeTakeFirstOrThrow();
    const bytes = Buffer.from('{"forged":true}');
    const hash = createHash('sha256').update(bytes).digest('hex');
    const row = { stream, incarnation: head.incarnation, seq, type: 'x', occurred_at: 1, hash, bytes };
    await tx.insertInto('journal_events').values(row).execute();
  }
});
