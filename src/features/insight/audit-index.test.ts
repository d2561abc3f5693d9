import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { createAccessLog } from '../../platform/access-log/create-access-log.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createJournal } from '../../platform/journal/create-journal.ts';
import { createLog } from '../../platform/log.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { indexAccesses } from './audit-index.ts';
import { type AuditCursor, type AuditFilter, auditPage } from './audit-query.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const tenantUid = 'tenant';

forEachDatabase((_, open) => {
  /** Accesses of two hours in one batch, and a way to look for them. */
  async function accesses() {
    const database = await open();
    const held = new HeldClock();
    const accessLog = createAccessLog({ database, clock: { ...systemClock, nowMicros: held.nowMicros }, ids, log });
    const journal = createJournal({ database, clock: systemClock, ids });
    const parts = { database, journal, clock: systemClock, tenantUid };
    const common = { address: '192.0.2.9', correlationId: 'c', status: 200 } as const;
    const hostile = '"identity":"victor"\\';
    for (let round = 0; round < 100; round += 1) {
      const identity = ['victor', 'quinn', hostile][round % 3] ?? '';
      const [registryUid, repository] = round % 2 === 0 ? ['contoso', 'app'] : ['fabrikam', 'web'];
      accessLog.record({ ...common, kind: 'pull', registryUid, repository, identity });
      accessLog.record({ ...common, kind: 'signIn', identity });
      held.advance(60_000);
    }
    await accessLog.flush();
    return {
      database,
      hostile,
      index: () => indexAccesses(parts),
      count: async (filter: AuditFilter) => {
        let count = 0;
        let after: AuditCursor | undefined;
        do {
          const page = await auditPage(parts, filter, { after, limit: 1_000 });
          count += page.records.length;
          after = page.next;
        } while (after !== undefined);
        return count;
      },
      close: () => accessLog.close(),
    };
  }

  test('what was just written is found, without waiting for the index', async () => {
    const { count, close } = await accesses();
    assert.equal(await count({ scope: 'contoso' }), 50);
    await close();
  });

  test('each access is found by each of its terms', async () => {
    const { count, hostile, index, close } = await accesses();
    await index();
    await index();
    assert.equal(await count({ scope: tenantUid }), 100);
    assert.equal(await count({ scope: tenantUid, operationName: 'Login', identity: hostile }), 33);
    assert.equal(await count({ scope: 'fabrikam', repository: 'web' }), 50);
    assert.equal(await count({ scope: 'contoso', repository: 'app', identity: 'victor' }), 17);
    assert.equal(await count({ scope: 'contoso', repository: 'web' }), 0);
    assert.equal(await count({ scope: 'contoso', source: 'journal' }), 0);
    await close();
  });

  test('whatever text somebody was denied with is indexed, and found by', async () => {
    const database = await open();
    const accessLog = createAccessLog({ database, clock: systemClock, ids, log });
    const journal = createJournal({ database, clock: systemClock, ids });
    const parts = { database, journal, clock: systemClock, tenantUid };
    const identities = ['nul\u0000', 'half\ud83d', '"],["', "'; --", `${'x'.repeat(299)}\ud83d\ude00`];
    for (const identity of identities)
      accessLog.record({ kind: 'signIn', identity, address: '192.0.2.9', correlationId: '', status: 401 });
    await accessLog.flush();
    for (const identity of identities.slice(2)) {
      const { records } = await auditPage(parts, { scope: tenantUid, identity }, { limit: 10 });
      assert.deepEqual(
        records.map((each) => each.identity),
        [identity],
      );
    }
    assert.equal((await auditPage(parts, { scope: tenantUid }, { limit: 10 })).records.length, identities.length);
    await accessLog.close();
  });

  test('a page has the newest lines of a batch, and those that follow continue it', async () => {
    const database = await open();
    const held = new HeldClock();
    const accessLog = createAccessLog({ database, clock: { ...systemClock, nowMicros: held.nowMicros }, ids, log });
    const journal = createJournal({ database, clock: systemClock, ids });
    const parts = { database, journal, clock: systemClock, tenantUid };
    const tags = Array.from({ length: 50 }, (_, index) => `v${index}`);
    for (const tag of tags) {
      accessLog.record({
        kind: 'pull',
        registryUid: 'contoso',
        repository: 'app',
        tag,
        identity: 'quinn',
        address: '',
        correlationId: '',
        status: 200,
      });
      // Two at each instant.
      if (tags.indexOf(tag) % 2 === 1) held.advance(1_000);
    }
    await accessLog.flush();
    const found: string[] = [];
    let after: AuditCursor | undefined;
    do {
      const page = await auditPage(parts, { scope: 'contoso', identity: 'quinn' }, { after, limit: 7 });
      found.push(...page.records.map(({ tag }) => tag));
      after = page.next;
    } while (after !== undefined);
    assert.deepEqual(found.toSorted(), tags.toSorted());
    const pairs = found.map((tag) => Math.floor(Number(tag.slice(1)) / 2));
    assert.deepEqual(
      pairs,
      pairs.toSorted((a, b) => b - a),
    );
    await accessLog.close();
  });

  test('a piece spans its accesses, and no more than an hour', async () => {
    const { database, index, close } = await accesses();
    await index();
    const rows = await database.read
      .selectFrom('audit_terms')
      .select(['first_at', 'last_at'])
      .where('term', '=', tenantUid)
      .orderBy('first_at')
      .execute();
    const [first, last] = [rows[0] ?? assert.fail(), rows.at(-1) ?? assert.fail()];
    assert.equal(last.last_at - first.first_at, 99 * 60_000_000);
    for (const { first_at, last_at } of rows) assert(last_at - first_at <= 3_600_000_000);
    await close();
  });

  test('who bears a name is found without a look at everybody', async () => {
    const database = await open();
    const plan = await database.transaction(async (tx) => {
      if (database.kind === 'postgres') await sql`set local enable_seqscan = off`.execute(tx);
      const explain = sql.raw(database.kind === 'sqlite' ? 'explain query plan' : 'explain');
      return await sql`${explain} select uid from principals where display_name = 'olivia'`.execute(tx);
    });
    assert.match(JSON.stringify(plan.rows), /principals_name/);
  });
});
