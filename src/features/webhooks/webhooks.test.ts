import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type SampleProcess, sampleAccess, sampleProcess } from '../../../test/support/sample-access.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import { type Received, webhookReceiver } from '../../../test/support/webhook-receiver.ts';
import { openCertificateAuthority } from '../../platform/certificates/certificate-authority.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createJobs } from '../../platform/jobs/create-jobs.ts';
import { createJournal } from '../../platform/journal/create-journal.ts';
import { type Journal, streamOf } from '../../platform/journal/journal.ts';
import { parseMasterKeys } from '../../platform/keys/master-keys.ts';
import { createSealer } from '../../platform/keys/sealer.ts';
import { createLog } from '../../platform/log.ts';
import { createOutbound, type OutboundOptions } from '../../platform/outbound/outbound.ts';
import { systemClock as clock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import type { WebhookAction } from './webhook.ts';
import { WebhookDeliveries } from './webhook-deliveries.ts';
import { hastenDelivery, planDelivery, skipToHead, writeWebhook } from './webhook-store.ts';
import { sealTarget } from './webhook-target.ts';
import { Webhooks } from './webhooks.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const sealer = createSealer(parseMasterKeys(Buffer.alloc(32, 7).toString('base64')), ids);
const patienceMs = 120_000;
const loopback = ['127.0.0.0/8'];

/** The sending of one process. */
function sending(database: Database, { journal, directory }: SampleProcess, options: Partial<OutboundOptions> = {}) {
  const outbound = createOutbound({ allow: loopback, hosts: new Map(), clock, ...options });
  const jobs = createJobs({ database, clock, ids, log, pollMs: 20, concurrency: 64 });
  const webhooks = new Webhooks({
    database,
    journal,
    clock,
    ids,
    log,
    sealer,
    jobs,
    outbound,
    directory,
    answered: () => 0,
  });
  jobs.start(webhooks.jobKinds());
  const stop = new AbortController();
  const following = webhooks.follow(stop.signal);
  return {
    jobs,
    stop: async () => {
      stop.abort();
      await following;
      await jobs.stop();
      await outbound.close();
    },
  };
}

const contentOf = ({ body }: Received): { id: string; action: string; target: Record<string, unknown> } =>
  JSON.parse(body);
const tagsOf = (received: readonly Received[]) => received.map((each) => contentOf(each).target.tag);
const numbered = (count: number) => Array.from({ length: count }, (_, index) => `v${index}`);

forEachDatabase((name, open) => {
  let database: Database;
  let sample: Awaited<ReturnType<typeof sampleAccess>>;
  let here: SampleProcess;
  let sender: ReturnType<typeof sending>;
  let deliveries: WebhookDeliveries;
  let beforeNextWrite = async () => {};
  /** As those who send see it: another process may write between what they read and what they write. */
  const seen = (): Database => ({
    ...database,
    transaction: async (work, options) => {
      const meanwhile = beforeNextWrite;
      beforeNextWrite = async () => {};
      await meanwhile();
      return await database.transaction(work, options);
    },
  });
  const receivers: Awaited<ReturnType<typeof webhookReceiver>>[] = [];
  const receive: typeof webhookReceiver = async (...parts) => {
    const made = await webhookReceiver(...parts);
    receivers.push(made);
    return made;
  };

  before(async () => {
    database = await open();
    sample = await sampleAccess(database);
    here = await sampleProcess(database, sample.tenantUid, new HeldClock());
    sender = sending(seen(), here);
    deliveries = new WebhookDeliveries({ database, clock, ids, jobs: sender.jobs });
  });
  after(async () => {
    for (const receiver of receivers) await receiver.close();
    await sender.stop();
    await here.close();
  });

  type Filter = { readonly scope?: string; readonly actions?: readonly WebhookAction[] };
  /** New or changed. */
  const write = async (
    tx: Transaction,
    uid: string,
    serviceUri: string,
    { scope = '', actions = ['push'] }: Filter = {},
  ) => {
    const target = { serviceUri, customHeaders: { 'X-Secret': 'abc' }, signingKey: 'c2VjcmV0' };
    const sealed = sealTarget({ sealer, ids }, uid, target);
    const nowMicros = clock.nowMicros();
    await writeWebhook(tx, {
      uid,
      registryUid: sample.registryUid,
      form: 'acr',
      isEnabled: true,
      filter: { scope, actions },
      sealedTarget: Buffer.from(sealed, 'base64'),
      nowMicros,
    });
    await hastenDelivery(tx, uid, nowMicros);
  };
  const hook = async (serviceUri: string, filter?: Filter): Promise<string> => {
    const uid = ids.uid();
    await database.transaction(async (tx) => {
      await write(tx, uid, serviceUri, filter);
      await skipToHead(tx, sender.jobs, uid, sample.registryUid);
    });
    return uid;
  };
  const push = async (repository: string, tags: readonly string[], journal: Journal = here.journal) => {
    const request = { id: ids.guid(), address: '192.0.2.1', name: 'Olivia', userAgent: 'tester' };
    for (const tag of tags) {
      const data = { repository, digest: 'sha256:00', mediaType: 'application/x', sizeBytes: 7, tags: [tag], request };
      await journal.transaction(async (_tx, append) => {
        const stream = streamOf(sample.registryUid, 'here');
        append({ stream, type: 'manifest.pushed', version: 1, actor: 'olivia', data });
        append({ stream, type: 'tag.set', version: 1, actor: 'olivia', data: { repository, tag } });
      });
    }
  };

  test('each webhook hears in order of what it asked for, and of nothing before it was made', async () => {
    const receiver = await receive();
    await push('app', ['early']);
    await hook(`${receiver.url}/all`, { actions: ['push', 'quarantine'] });
    await hook(`${receiver.url}/one`, { scope: 'app:v7' });
    await push('app', numbered(10));
    await push('other', ['v7']);
    await waitFor('deliveries', patienceMs, () => receiver.received.length >= 23);
    const all = receiver.received.filter(({ path }) => path === '/all');
    const pushes = all.filter((each) => contentOf(each).action === 'push');
    assert.deepEqual(tagsOf(pushes), [...numbered(10), 'v7']);
    assert.equal(all.length, 22);
    assert.deepEqual(tagsOf(receiver.received.filter(({ path }) => path === '/one')), ['v7']);
    assert.deepEqual(contentOf(pushes[0] ?? assert.fail()), {
      ...contentOf(pushes[0] ?? assert.fail()),
      action: 'push',
      target: {
        mediaType: 'application/x',
        size: 7,
        digest: 'sha256:00',
        length: 7,
        repository: 'app',
        tag: 'v0',
      },
    });
    assert.equal(receiver.received[0]?.headers['x-secret'], 'abc');
  });

  test('a receiver that agrees while others are passed over still hears what happened before', async () => {
    const [late, other] = [await receive(), await receive()];
    await hook(other.url, { scope: 'elsewhere:*' });
    await push('elsewhere', ['v1']);
    await waitFor('the other one', patienceMs, () => other.received.length === 1);
    const uid = await hook(late.url, { scope: 'agreed:*' });
    const enable = (isEnabled: 0 | 1) =>
      database.transaction(async (tx) => {
        await tx.updateTable('webhooks').set({ is_enabled: isEnabled }).where('uid', '=', uid).execute();
        if (isEnabled === 1) await planDelivery(tx, sender.jobs, uid);
      });
    await enable(0);
    const agreed = new Promise<void>((resolve) => {
      beforeNextWrite = async () => resolve(await enable(1));
    });
    await push('agreed', ['v1']);
    await agreed;
    await waitFor('the push', patienceMs, () => late.received.length === 1);
    assert.equal(other.received.length, 1);
  });

  // With SQLite nothing is pushed while a webhook is made.
  if (name === 'postgres')
    test('what is pushed while a webhook is made is told at once, although others looked at it before', async () => {
      const [made, other] = [await receive(), await receive()];
      await hook(other.url, { scope: 'making:*' });
      await database.transaction(async (tx) => {
        const uid = ids.uid();
        await write(tx, uid, made.url, { scope: 'making:*' });
        await skipToHead(tx, sender.jobs, uid, sample.registryUid);
        await push('making', ['v1']);
        // Not for ever: PostgreSQL ends a transaction that stands idle.
        for (let each = 0; each < 200 && other.received.length === 0; each += 1) await sleep(50);
      });
      await waitFor('the push', patienceMs, () => made.received.length === 1);
    });

  test('a webhook that is changed while its run puts itself off until the next attempt is tried at once', async () => {
    const uid = await hook('http://127.0.0.1:9/', { scope: 'nothing:*' });
    const jobsOf = () => database.read.selectFrom('jobs').where('key', '=', uid).select('run_at').execute();
    await waitFor('the run of a new webhook', patienceMs, async () => (await jobsOf()).length === 0);
    const retryAt = async (micros: number) =>
      await database.transaction(async (tx) => {
        await tx.updateTable('webhooks').set({ retry_at: micros }).where('uid', '=', uid).execute();
        await hastenDelivery(tx, uid, clock.nowMicros());
      });
    await retryAt(clock.nowMicros() + 7_200_000_000);
    const changed: Database = {
      ...database,
      transaction: async (work, options) => {
        await retryAt(0);
        return await database.transaction(work, options);
      },
    };
    const parts = { ...here, database: changed, clock, ids, log, sealer, jobs: sender.jobs, answered: () => 0 };
    const outbound = createOutbound({ allow: loopback, hosts: new Map(), clock });
    const [delivery] = new Webhooks({ ...parts, outbound }).jobKinds();
    const { signal } = new AbortController();
    await delivery?.run({ payload: { webhookUid: uid }, attempt: 1, signal, renew: async () => {} });
    for (const { run_at: runAtMicros } of await jobsOf()) assert(runAtMicros <= clock.nowMicros());
    await outbound.close();
  });

  test('a failing receiver gets everything in order once it is back, with the same ids, and holds up nobody', async () => {
    let isDown = true;
    const failing = await receive((_received, response) => {
      if (isDown) response.writeHead(500).end('broken');
    });
    const healthy = await receive();
    await hook(failing.url);
    await hook(healthy.url);
    await push('app', numbered(5));
    await waitFor('the healthy one', patienceMs, () => healthy.received.length === 5);
    await waitFor('a second try', patienceMs, () => failing.received.length >= 2);
    isDown = false;
    await waitFor('the rest', patienceMs, () => tagsOf(failing.received).includes('v4'));
    const ids = failing.received.map((each) => contentOf(each).id);
    assert.deepEqual([...new Set(tagsOf(failing.received))], numbered(5));
    assert.equal(new Set(ids).size, 5);
    assert.deepEqual(
      healthy.received.map((each) => contentOf(each).id),
      [...new Set(ids)],
    );
  });

  test('a receiver that does not answer keeps no other waiting', async () => {
    const waiting = new Set<ServerResponse>();
    const silent = await receive(async (_received, response) => {
      waiting.add(response);
      await once(response, 'close');
      waiting.delete(response);
    });
    const quick = await receive();
    for (let each = 0; each < 5; each += 1) await hook(silent.url);
    await hook(quick.url);
    await push('app', numbered(20));
    await waitFor('the quick one', patienceMs, () => quick.received.length === 20);
    // As often as it takes: on a busy machine we may have given up a silent one meanwhile.
    await waitFor('a push that is told while a silent one is asked', patienceMs, async () => {
      const [asked] = waiting;
      const before = quick.received.length;
      await push('app', numbered(20));
      await waitFor('the quick one', patienceMs, () => quick.received.length === before + 20);
      return asked !== undefined && waiting.has(asked);
    });
  });

  test('redirects are not followed, endless answers are cut, and both are in the log', async () => {
    const elsewhere = await receive();
    const redirecting = await receive((_received, response) => {
      response.writeHead(307, { location: elsewhere.url }).end();
    });
    const huge = await receive(async (_received, response) => {
      response.writeHead(200, { 'content-length': String(1024 ** 3) });
      while (!response.destroyed) {
        response.write('x'.repeat(65_536));
        await sleep(1);
      }
    });
    const dripping = await receive(async (_received, response) => {
      response.writeHead(200);
      while (!response.destroyed) {
        response.write('x');
        await sleep(1_000);
      }
    });
    const [a, b, c] = [await hook(redirecting.url), await hook(huge.url), await hook(dripping.url)];
    await push('app', ['v1']);
    const logged = async (uid: string, state: string) =>
      await waitFor(`${state} of ${uid}`, patienceMs, async () =>
        (await deliveries.list(uid)).find((each) => each.state === state),
      );
    const refused = await logged(a, 'failing');
    assert.deepEqual([refused.outcome?.status, refused.outcome?.fault], [307, 'the receiver answered 307']);
    assert.equal(elsewhere.received.length, 0);
    assert.equal((await logged(b, 'delivered')).outcome?.responseBody?.length, 4_096);
    assert.match((await logged(c, 'delivered')).outcome?.responseBody ?? '', /^x*$/);
    assert.equal(refused.outcome?.requestHeaders['X-Secret'], '***');
  });

  test('what waited for a day is tried for a day all the same; then it is a dead letter, the next has its turn, and replay sends it again', async () => {
    const dayBefore = { ...clock, nowMicros: () => clock.nowMicros() - 25 * 3_600_000_000 };
    let isDown = true;
    const receiver = await receive((_received, response) => {
      if (isDown) response.writeHead(503).end();
    });
    const uid = await hook(receiver.url, { scope: 'old:*' });
    // Another stream, as of another region: within one, time only grows.
    const old = createJournal({ database, clock: dayBefore, ids });
    await old.transaction(async (_tx, append) => {
      for (const tag of ['v1', 'v2'])
        append({
          stream: streamOf(sample.registryUid, 'there'),
          type: 'manifest.pushed',
          version: 1,
          actor: 'olivia',
          data: { repository: 'old', digest: 'sha256:00', tags: [tag] },
        });
    });
    const dead = async () => (await deliveries.list(uid)).filter(({ state }) => state === 'dead');
    await waitFor('a second try', patienceMs, () => receiver.received.length >= 2);
    assert.deepEqual([...new Set(tagsOf(receiver.received)), ...(await dead())], ['v1']);
    const failingSince = dayBefore.nowMicros();
    await waitFor('dead letters', patienceMs, async () => {
      // An attempt that is under way writes its own.
      await database.transaction(async (tx) => {
        await tx.updateTable('webhooks').set({ failing_since: failingSince }).where('uid', '=', uid).execute();
        await hastenDelivery(tx, uid, clock.nowMicros());
      });
      return (await dead()).length === 2;
    });
    const tried = receiver.received.length;
    assert.deepEqual([...new Set(tagsOf(receiver.received))], ['v1', 'v2']);
    isDown = false;
    assert.equal(await deliveries.replay(uid, (await dead())[0]?.eventId), 1);
    await waitFor(
      'one fewer',
      patienceMs,
      async () => (await dead()).length === 1 && receiver.received.length === tried + 1,
    );
    assert.equal(await deliveries.replay(uid, undefined), 1);
    await waitFor('none', patienceMs, async () =>
      (await deliveries.list(uid)).every((each) => each.state === 'delivered'),
    );
    assert.equal(new Set(receiver.received.map((each) => contentOf(each).id)).size, 2);
    const attempts = (await deliveries.list(uid)).map((each) => each.attempts);
    assert.deepEqual(
      attempts.toSorted((a, b) => a - b),
      [2, tried],
    );
  });

  test('a webhook that is switched off or moved while it is told is told no more there', async () => {
    let answer = () => {};
    const old = await receive(async (_received, response) => {
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
      response.writeHead(200).end();
    });
    const moved = await receive();
    const off = await receive(async (_received, response) => {
      await change(offUid, { is_enabled: 0 });
      response.writeHead(200).end();
    });
    const change = (uid: string, values: { readonly is_enabled?: number; readonly sealed_target?: Uint8Array }) =>
      database.transaction((tx) =>
        tx
          .updateTable('webhooks')
          .set({ ...values, changed_at: clock.nowMicros() })
          .where('uid', '=', uid)
          .execute(),
      );
    const uid = await hook(old.url, { scope: 'moving:*' });
    const offUid = await hook(off.url, { scope: 'moving:*' });
    await push('moving', numbered(5));
    await waitFor('the first', patienceMs, () => old.received.length === 1);
    const target = { serviceUri: moved.url, customHeaders: {}, signingKey: 'c2VjcmV0' };
    await change(uid, { sealed_target: Buffer.from(sealTarget({ sealer, ids }, uid, target), 'base64') });
    answer();
    await waitFor('the others', patienceMs, () => moved.received.length === 4);
    assert.deepEqual(tagsOf([...old.received, ...moved.received]), numbered(5));
    await waitFor('the one before it was switched off', patienceMs, () => off.received.length > 0);
    assert.equal(off.received.length, 1);
  });

  test('a webhook that is changed while an attempt fails is tried at once', async () => {
    let answer = () => {};
    const old = await receive(async (_received, response) => {
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
      response.writeHead(500).end();
    });
    const moved = await receive();
    const uid = await hook(old.url, { scope: 'mended:*' });
    // So often that the next attempt would be in hours.
    await database.transaction((tx) =>
      tx.updateTable('webhooks').set({ failures: 9 }).where('uid', '=', uid).execute(),
    );
    await push('mended', ['v1']);
    await waitFor('an attempt', patienceMs, () => old.received.length === 1);
    await database.transaction((tx) => write(tx, uid, moved.url, { scope: 'mended:*' }));
    answer();
    await waitFor('the push', patienceMs, () => moved.received.length === 1);
  });

  test('two processes together lose nothing, and repeat nothing under another id', async () => {
    const again = await open({ again: database });
    const other = await sampleProcess(again, sample.tenantUid, new HeldClock());
    const second = sending(again, other);
    const receiver = await receive();
    await hook(receiver.url, { scope: 'pair:*' });
    await Promise.all([push('pair', numbered(30)), push('pair', numbered(30), other.journal)]);
    const idsSeen = () => new Set(receiver.received.map((each) => contentOf(each).id));
    await waitFor('all of them', patienceMs, () => idsSeen().size === 60);
    await second.stop();
    await other.close();
  });

  test('closed addresses and untrusted certificates are told, and get nothing', async () => {
    using folder = temporaryFolder('receiver');
    const authority = await openCertificateAuthority({ folder: folder.path, clock, ids });
    const { certPem: cert, keyPem: key } = await authority.issue({ dns: [], ip: ['127.0.0.1'] });
    const receiver = await receive(undefined, { tls: { cert, key } });
    const uid = await hook(receiver.url, { scope: 'tls:*' });
    const closed = await hook('http://169.254.169.254/latest/meta-data', { scope: 'tls:*' });
    await push('tls', ['v1']);
    const faultOf = async (webhook: string) =>
      await waitFor('a failed try', patienceMs, async () => (await deliveries.list(webhook))[0]?.outcome?.fault);
    assert.match(await faultOf(uid), /CERT|SELF_SIGNED|UNABLE/);
    assert.match(await faultOf(closed), /the address is not allowed/);
    assert.equal(receiver.received.length, 0);
  });
});
