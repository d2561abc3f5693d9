import assert from 'node:assert/strict';
import { test } from 'node:test';
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
});
