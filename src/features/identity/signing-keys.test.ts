import assert from 'node:assert/strict';
import { afterEach, before, beforeEach, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import {
  type SampleAccess,
  type SampleProcess,
  sampleAccess,
  sampleProcess,
} from '../../../test/support/sample-access.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';

const dayMs = 24 * 60 * 60 * 1000;
const expected = { issuer: 'us', audience: 'them' };

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
    await database.transaction((tx) => tx.deleteFrom('signing_keys').execute());
    clock = new HeldClock();
    here = await sampleProcess(database, sample.tenantUid, clock);
    there = await sampleProcess(await open({ again: database }), sample.tenantUid, clock);
  });
  afterEach(async () => {
    await here.close();
    await there.close();
  });

  const sign = (by: SampleProcess, lifetimeSeconds = 3600) => {
    const iat = Math.floor(clock.nowMicros() / 1_000_000);
    return by.keys.sign({ iss: 'us', aud: 'them', iat, nbf: iat, exp: iat + lifetimeSeconds });
  };
  const kidOf = (token: string): string =>
    JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid;
  const isGood = async (at: SampleProcess, token: string) => (await at.keys.verify(token, expected)) !== undefined;

  test('processes share one key, and each verifies what the other signed', async () => {
    const tokens = [await sign(here), await sign(there)];
    assert.equal(new Set(tokens.map(kidOf)).size, 1);
    for (const at of [here, there]) for (const token of tokens) assert.equal(await isGood(at, token), true);
  });

  test('after a rotation the new key signs at once, is found by others, and old tokens stay good', async () => {
    const old = await sign(here);
    assert.equal(await isGood(there, old), true);
    await here.keys.rotate('test');
    const young = await sign(here);
    assert.notEqual(kidOf(young), kidOf(old));
    for (const at of [here, there]) {
      assert.equal(await isGood(at, young), true);
      assert.equal(await isGood(at, old), true);
    }
    clock.advance(60_000);
    assert.equal(kidOf(await sign(there)), kidOf(young));
  });

  test('a revoked key verifies nothing at a newer epoch on every process, and another signs', async () => {
    const revoked = kidOf(await sign(here));
    const tokens = [await sign(here), await sign(there)];
    const isGoodNow = async (at: SampleProcess, token: string) => {
      await at.directory.refresh();
      return (await at.keys.verify(token, expected, at.directory.epoch())) !== undefined;
    };
    for (const at of [here, there]) for (const token of tokens) assert.equal(await isGoodNow(at, token), true);
    assert.equal(await here.keys.revoke(revoked, 'test'), true);
    assert.equal(await here.keys.revoke(revoked, 'test'), false);
    for (const at of [there, here]) {
      for (const token of tokens) assert.equal(await isGoodNow(at, token), false);
      assert.equal(await at.keys.stands(revoked, at.directory.epoch()), false);
      const young = await sign(at);
      assert.notEqual(kidOf(young), revoked);
      assert.equal(await isGoodNow(there, young), true);
    }
    const listed = await there.keys.list();
    assert.deepEqual(
      listed.map(({ kid, isSigning }) => [kid === revoked, isSigning]),
      [[false, true]],
    );
  });

  test('one that no longer signs is revoked without another', async () => {
    const old = await sign(here);
    const kid = await here.keys.rotate('test');
    assert.equal(await there.keys.revoke(kidOf(old), 'test'), true);
    assert.deepEqual(
      (await here.keys.list()).map((each) => [each.kid, each.isSigning]),
      [[kid, true]],
    );
    assert.equal(await isGood(here, old), false);
  });

  test('a key is replaced after 90 days, and verifies a day longer', async () => {
    const first = await sign(here);
    clock.advance(90 * dayMs - 1000);
    const last = await sign(here, 86_400);
    assert.equal(kidOf(last), kidOf(first));
    clock.advance(1000);
    assert.notEqual(kidOf(await sign(here)), kidOf(last));
    clock.advance(dayMs - 2000);
    assert.equal(await isGood(here, last), true);
    assert.equal(await isGood(there, last), true);
    clock.advance(2000);
    assert.equal(await isGood(here, last), false);
  });

  test('made-up key ids cost one look into the database a second', async () => {
    const [header = '', ...rest] = (await sign(here)).split('.');
    const decoded = JSON.parse(Buffer.from(header, 'base64url').toString());
    const forged = Array.from({ length: 50 }, (_unused, index) => {
      const kid = `${index}`.padStart(26, 'x');
      return [Buffer.from(JSON.stringify({ ...decoded, kid })).toString('base64url'), ...rest].join('.');
    });
    const startedMs = clock.monotonicMs();
    for (const token of forged.slice(0, 5)) assert.equal(await isGood(here, token), false);
    assert.ok(clock.monotonicMs() - startedMs >= 4000, 'they waited for each other');
    const answers = await Promise.all(forged.map((token) => isGood(here, token)));
    assert.equal(answers.includes(true), false);
  });

  test('the private key is nowhere in the clear', async () => {
    await sign(here);
    const rows = await database.read.selectFrom('signing_keys').selectAll().execute();
    assert.equal(rows.length, 1);
    assert.equal(rows[0]?.public_jwk.includes('"d"'), false);
    assert.equal(Buffer.from(rows[0]?.sealed_private_jwk ?? []).includes('"d"'), false);
  });
});
