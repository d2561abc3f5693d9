import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type SampleBuilds, sampleBuilds } from '../../../test/support/sample-builds.ts';
import type { Database } from '../../platform/database/database.ts';
import type { RunResult } from '../../wire/builds/agent-protocol.ts';
import { sweepOrphans } from '../content/upkeep.ts';

const done: RunResult = { status: 'Succeeded', images: [], dependencies: [] };

forEachDatabase((_, open) => {
  let database: Database;
  let sample: SampleBuilds;
  before(async () => {
    database = await open();
    sample = await sampleBuilds(database);
  });
  after(() => sample.close());

  const body = (text: string, lengthBytes: number | undefined = text.length) => ({
    bytes: (async function* () {
      yield Buffer.from(text);
    })(),
    lengthBytes,
  });
  const begin = () => sample.contexts.begin(sample.registryUid);
  const read = async (path: string): Promise<string> => {
    const { bytes, sizeBytes } = await sample.contexts.read(sample.registryUid, path);
    const chunks: Uint8Array[] = [];
    for await (const chunk of bytes) chunks.push(new Uint8Array(chunk));
    const all = Buffer.concat(chunks);
    assert.equal(all.length, sizeBytes);
    return all.toString();
  };
  const stored = async (): Promise<string[]> => {
    const keys: string[] = [];
    for await (const { key } of sample.store.list('')) keys.push(key);
    return keys;
  };
  const scheduled = (contextPath: string) =>
    sample.runs.schedule(sample.newRun({ source: { kind: 'upload' }, contextPath }));

  test('one piece is read back, and may be sent again as it was until a run has it', async () => {
    const path = await begin();
    assert.match(path, /^source\/\d{12}\/[0-9a-f-]{36}\.tar\.gz$/);
    await assert.rejects(scheduled(path), { error: 'contextUnknown' });
    await sample.contexts.put(path, body('first'));
    // The answer may have been lost on its way.
    await sample.contexts.put(path, body('first'));
    for (const late of [
      () => sample.contexts.put(path, body('second')),
      () => sample.contexts.putBlock(path, 'YQ==', body('first')),
      () => sample.contexts.commit(path, []),
    ])
      await assert.rejects(late, { error: 'blobAddressInvalid' });
    assert.equal(await read(path), 'first');
    assert.equal((await stored()).length, 1);
    await scheduled(path);
    await assert.rejects(sample.contexts.put(path, body('late')), { error: 'blobAddressInvalid' });
    await assert.rejects(sample.contexts.putBlock(path, 'YQ==', body('late')), { error: 'blobAddressInvalid' });
  });

  test('blocks come in any order and at once, and make what the list says', async () => {
    const path = await begin();
    const blocks = { 'YQ==': 'one ', 'Yg==': 'two ', 'Yw==': 'three', 'ZA==': 'unused' };
    const sent = Object.entries(blocks).toReversed();
    await Promise.all(sent.map(([id, text]) => sample.contexts.putBlock(path, id, body(text))));
    await assert.rejects(sample.contexts.commit(path, ['YQ==', 'eA==']), { error: 'blobRequestInvalid' });
    await assert.rejects(sample.contexts.commit(path, ['YQ==', 'YQ==']), { error: 'blobRequestInvalid' });
    await assert.rejects(sample.contexts.read(sample.registryUid, path), { error: 'contextUnknown' });
    await sample.contexts.commit(path, ['YQ==', 'Yg==', 'Yw==']);
    await sample.contexts.commit(path, ['YQ==', 'Yg==', 'Yw==']);
    for (const late of [
      () => sample.contexts.commit(path, ['Yg==', 'YQ==', 'Yw==']),
      () => sample.contexts.commit(path, ['YQ==', 'Yg==']),
      () => sample.contexts.putBlock(path, 'YQ==', body('another ')),
      () => sample.contexts.put(path, body('one two three')),
    ])
      await assert.rejects(late, { error: 'blobAddressInvalid' });
    assert.equal(await read(path), 'one two three');
  });

  test('of two that send another context at the same time, one is taken', async () => {
    const path = await begin();
    const before = (await stored()).length;
    const sent = await Promise.allSettled(['one', 'two'].map((text) => sample.contexts.put(path, body(text))));
    assert.deepEqual(sent.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
    assert.equal(await read(path), sent[0]?.status === 'fulfilled' ? 'one' : 'two');
    assert.equal((await stored()).length, before + 1);
  });

  test('a context that is too large, or shorter than it says, leaves nothing behind', async () => {
    const path = await begin();
    const before = (await stored()).length;
    await assert.rejects(sample.contexts.put(path, body('x'.repeat(1_001))), { error: 'contextTooLarge' });
    await assert.rejects(sample.contexts.put(path, { ...body('x'.repeat(1_001)), lengthBytes: undefined }), {
      error: 'contextTooLarge',
    });
    await assert.rejects(sample.contexts.put(path, body('short', 9)), { error: 'sizeInvalid' });
    await sample.contexts.putBlock(path, 'YQ==', body('x'.repeat(900)));
    await assert.rejects(sample.contexts.putBlock(path, 'Yg==', body('x'.repeat(200))), { error: 'contextTooLarge' });
    // The same block again takes the place of the first.
    await sample.contexts.putBlock(path, 'YQ==', body('x'.repeat(950)));
    assert.equal((await stored()).length, before + 1);
    await assert.rejects(sample.contexts.put('source/202601010000/none.tar.gz', body('x')), {
      error: 'blobAddressInvalid',
    });
  });

  test('another registry does not find it', async () => {
    const path = await begin();
    await sample.contexts.put(path, body('mine'));
    await assert.rejects(sample.contexts.read(sample.otherUid, path), { error: 'contextUnknown' });
    const foreign = { ...sample.newRun({ contextPath: path }), registryUid: sample.otherUid };
    await assert.rejects(sample.runs.schedule(foreign), { error: 'contextUnknown' });
  });

  test('it stays while a run needs it, whatever is swept, and leaves after the end', async () => {
    const path = await begin();
    await sample.contexts.put(path, body('needed'));
    await scheduled(path);
    await sweep();
    await sample.runJob('builds.contexts.remove');
    assert.equal(await read(path), 'needed');
    for (let order = await sample.take(); order !== undefined; order = await sample.take())
      await sample.leases.finish(order.lease, done);
    await sample.runJob('builds.contexts.remove');
    await assert.rejects(read(path), { error: 'contextUnknown' });
  });

  /** As if a grace had passed. */
  const sweep = async () => {
    const { held, log } = sample;
    const clock = { nowMicros: () => Date.now() * 2_000, monotonicMs: held.monotonicMs, sleep: held.sleep };
    const common = { database, store: sample.store, clock, log, failpoint: async () => {} };
    const job = { signal: new AbortController().signal, renew: async () => {} };
    await sweepOrphans({ ...common, orphanGraceMs: 0, expiryEveryMs: 1, sweepEveryMs: 1 }, job);
  };

  test('an upload that nobody uses leaves after a day', async () => {
    const path = await begin();
    await sample.contexts.put(path, body('forgotten'));
    sample.held.advance(86_300_000);
    await sample.runJob('builds.contexts.remove');
    assert.equal(await read(path), 'forgotten');
    sample.held.advance(200_000);
    await sample.runJob('builds.contexts.remove');
    await assert.rejects(read(path), { error: 'contextUnknown' });
    assert.deepEqual(await stored(), []);
  });

  test('what waits for runs is limited in bytes and in number, and a run that takes some makes room', async () => {
    const paths: string[] = [];
    for (let index = 0; index < 17; index += 1) paths.push(await begin());
    const [one = '', two = '', ...others] = paths;
    for (const path of [two, ...others]) await sample.contexts.put(path, body('x'.repeat(1_000)));
    const before = (await stored()).length;
    await assert.rejects(sample.contexts.put(one, body('x')), { error: 'contextTooMany' });
    assert.equal((await stored()).length, before);
    await scheduled(two);
    await sample.contexts.put(one, body('x'.repeat(1_000)));
    for (let waiting = 16; waiting < 1_000; waiting += 1) await begin();
    await assert.rejects(begin(), { error: 'contextTooMany' });
  });
});
