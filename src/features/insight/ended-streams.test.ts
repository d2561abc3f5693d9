import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { createAccessLog } from '../../platform/access-log/create-access-log.ts';
import { createLog } from '../../platform/log.ts';
import { systemClock as clock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { forgetBatch, indexAccesses } from './audit-index.ts';
import { skipLogsToHead, writeDiagnostic } from './diagnostic-store.ts';
import { forgetEndedStreams } from './ended-streams.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const job = { signal: new AbortController().signal, renew: async () => {} };
const tenantUid = 'tenant';

forEachDatabase((_, open) => {
  test('places in streams of processes that ended leave with the last batch; the others stay', async () => {
    const database = await open();
    const processes = [0, 1].map(() => createAccessLog({ database, clock, ids, log }));
    for (const accessLog of processes) {
      accessLog.record({
        kind: 'signIn',
        identity: 'victor',
        registryUid: 'contoso',
        address: '192.0.2.9',
        correlationId: 'c',
        status: 200,
      });
      await accessLog.close();
    }
    await indexAccesses({ database, clock, tenantUid });
    await database.transaction(async (tx) => {
      const nowMicros = clock.nowMicros();
      for (const uid of ['one', 'two']) {
        await writeDiagnostic(tx, { uid, registryUid: 'contoso', categories: [], destination: 'lake', nowMicros });
        await skipLogsToHead(tx, uid, 'contoso');
      }
    });
    const [ended, going] = await database.read.selectFrom('access_batches').select(['stream', 'seq']).execute();
    assert.ok(ended !== undefined && going !== undefined);
    const places = async () => [
      ...(await database.read.selectFrom('diagnostic_cursors').select('stream').execute()),
      ...(await database.read.selectFrom('journal_cursors').select('stream').execute()),
    ];
    await forgetEndedStreams({ database }, job);
    assert.equal((await places()).length, 6);
    await forgetBatch({ database, tenantUid }, ended.stream, ended.seq);
    await forgetEndedStreams({ database }, job);
    assert.deepEqual(
      (await places()).map(({ stream }) => stream),
      [going.stream, going.stream, going.stream],
    );
  });
});
