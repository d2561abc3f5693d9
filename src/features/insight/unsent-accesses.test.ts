import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { createAccessLog } from '../../platform/access-log/create-access-log.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createLog } from '../../platform/log.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { listAccessStreams } from './access-streams.ts';
import { findDiagnostic, logsBehind, moveLogCursor, skipLogsToHead, writeDiagnostic } from './diagnostic-store.ts';
import { retentionWithUnsent } from './unsent-accesses.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const dayMs = 86_400_000;

forEachDatabase((_, open) => {
  test('what a destination has not taken stays, but not for ever', async () => {
    const database = await open();
    const held = new HeldClock();
    const clock = { ...systemClock, nowMicros: held.nowMicros };
    const accessLog = createAccessLog({ database, clock, ids, log });
    const pull = async () => {
      const common = { address: '192.0.2.9', correlationId: 'c', status: 200, identity: 'victor' } as const;
      accessLog.record({ ...common, kind: 'pull', registryUid: 'contoso', repository: 'app', tag: 'one' });
      await accessLog.flush();
    };
    const kept = async () => (await retentionWithUnsent({ database, clock, log }, 2 * dayMs))() / dayMs;
    await pull();
    const common = { uid: 'siem', registryUid: 'contoso', destination: 'siem', nowMicros: clock.nowMicros() };
    await database.transaction(async (tx) => {
      await writeDiagnostic(tx, { ...common, categories: ['ContainerRegistryRepositoryEvents'] });
      await skipLogsToHead(tx, 'siem', 'contoso');
    });
    held.advance(dayMs);
    await pull();
    const retention = await retentionWithUnsent({ database, clock, log }, 2 * dayMs);
    assert.equal(retention() / dayMs, 2);
    held.advance(5 * dayMs);
    assert.equal(retention() / dayMs, 5);
    assert.equal(await kept(), 5);
    held.advance(40 * dayMs);
    assert.equal(await kept(), 32);
    const row = await findDiagnostic(database.read, 'siem');
    assert(row);
    for (const cursor of await logsBehind(database.read, row, await listAccessStreams(database.read)))
      assert(await moveLogCursor(database, row, cursor, cursor.seq + 1));
    assert.equal(await kept(), 2);
    await accessLog.close();
  });
});
