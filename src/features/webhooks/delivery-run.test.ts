import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleAccess, sampleProcess } from '../../../test/support/sample-access.ts';
import { webhookReceiver } from '../../../test/support/webhook-receiver.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createJournal } from '../../platform/journal/create-journal.ts';
import { streamOf } from '../../platform/journal/journal.ts';
import { parseMasterKeys } from '../../platform/keys/master-keys.ts';
import { createSealer } from '../../platform/keys/sealer.ts';
import { createLog } from '../../platform/log.ts';
import { createOutbound } from '../../platform/outbound/outbound.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { findWebhook, skipToHead, writeWebhook } from './webhook-store.ts';
import { sealTarget } from './webhook-target.ts';
import { Webhooks } from './webhooks.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const sealer = createSealer(parseMasterKeys(Buffer.alloc(32, 7).toString('base64')), ids);
const hourMicros = 3_600_000_000;

forEachDatabase((_, open) => {
  test('what a receiver refuses again and again holds up what is old for hours, not for days', async () => {
    const database = await open();
    const sample = await sampleAccess(database);
    const here = await sampleProcess(database, sample.tenantUid, new HeldClock());
    let aheadMicros = 0;
    const clock = {
      nowMicros: () => systemClock.nowMicros() + aheadMicros,
      monotonicMs: () => systemClock.monotonicMs(),
      sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(ms, signal),
    };
    const taken: string[] = [];
    const receiver = await webhookReceiver(({ body }, response) => {
      const { tag } = JSON.parse(body).target;
      if (tag.startsWith('good')) taken.push(tag);
      response.writeHead(tag.startsWith('good') ? 200 : 400).end();
    });
    const outbound = createOutbound({ allow: ['127.0.0.0/8'], hosts: new Map(), clock: systemClock });
    const journal = createJournal({ database, clock, ids });
    const jobs = { add: async () => {} };
    const parts = { ...{ database, journal, clock, ids, log, sealer, jobs, outbound }, answered: () => 0 };
    const [delivery] = new Webhooks({ ...parts, directory: here.directory }).jobKinds();
    assert.ok(delivery !== undefined);
    const uid = ids.uid();
    const target = { serviceUri: receiver.url, customHeaders: {}, signingKey: 'c2VjcmV0' };
    const sealedTarget = Buffer.from(sealTarget({ sealer, ids }, uid, target), 'base64');
    await database.transaction(async (tx) => {
      await writeWebhook(tx, {
        ...{ uid, registryUid: sample.registryUid, form: 'acr', isEnabled: true, sealedTarget },
        ...{ filter: { scope: '', actions: ['push'] }, nowMicros: clock.nowMicros() },
      });
      await skipToHead(tx, jobs, uid, sample.registryUid);
    });
    const push = async (tag: string) =>
      await journal.transaction(async (_tx, append) => {
        const data = { repository: 'app', digest: 'sha256:00', tags: [tag] };
        const stream = streamOf(sample.registryUid, 'here');
        append({ stream, type: 'manifest.pushed', version: 1, actor: 'olivia', data });
      });
    /** Hours until so many were taken. */
    const hoursUntil = async (count: number) => {
      const beganMicros = clock.nowMicros();
      while (taken.length < count) {
        const row = await findWebhook(database.read, uid);
        aheadMicros += Math.max(0, (row?.retry_at ?? 0) - clock.nowMicros() + 1);
        const job = { payload: { webhookUid: uid }, attempt: 1, signal: new AbortController().signal };
        await delivery.run({ ...job, renew: async () => {} });
        assert.ok(clock.nowMicros() < beganMicros + 100 * hourMicros, `${taken} after 100 hours`);
      }
      return (clock.nowMicros() - beganMicros) / hourMicros;
    };

    for (const tag of ['bad1', 'good1', 'bad2', 'good2']) await push(tag);
    aheadMicros += 25 * hourMicros;
    const hours = await hoursUntil(2);
    assert.ok(hours >= 2 && hours < 5, `${hours} h`);
    for (let number = 3; number < 23; number += 1) for (const tag of [`bad${number}`, `good${number}`]) await push(tag);
    aheadMicros += 49 * hourMicros;
    assert.ok((await hoursUntil(22)) < 1);
    await receiver.close();
    await outbound.close();
    await here.close();
  });
});
