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

const refusalMs = 500;

forEachDatabase((_, open) => {
  let database: Database;
  let sample: SampleAccess;
  let clock: HeldClock;
  let here: SampleProcess;

  before(async () => {
    database = await open();
    sample = await sampleAccess(database);
  });
  beforeEach(async () => {
    clock = new HeldClock();
    here = await sampleProcess(database, sample.tenantUid, clock);
  });
  afterEach(() => here.close());

  const signIn = (userName: string, password: string, address = '192.0.2.1') =>
    here.signIn({
      registryUid: sample.registryUid,
      userName,
      password,
      from: { address, correlationId: 'test', userAgent: 'test' },
    });
  const fail = async (times: number, userName: string, address?: string) => {
    for (let count = 0; count < times; count += 1)
      assert.equal(await signIn(userName, 'wrong', address), undefined, `attempt ${count + 1}`);
  };
  const tooMany = { error: 'tooManyAttempts' };

  test('user names are compared without case; a wrong password, an unknown name and an empty one are nobody', async () => {
    const { userName, password } = sample.owner;
    assert.equal((await signIn('OLIVIA', password))?.principal.name, userName);
    for (const [name, secret] of [
      [userName, 'wrong'],
      ['nobody', password],
      ['', ''],
      [userName, ''],
      [userName, 'x'.repeat(5000)],
      ['x'.repeat(5000), password],
    ] as const)
      assert.equal(await signIn(name, secret), undefined);
  });

  test('a refusal is answered at the same time for a known person, a known machine and nobody', async () => {
    for (const name of [sample.owner.userName, sample.owner.clientId, 'nobody', 'contoso']) {
      const startedMs = clock.monotonicMs();
      assert.equal(await signIn(name, 'wrong'), undefined);
      assert.equal(clock.monotonicMs() - startedMs, refusalMs, name);
    }
  });

  test('the eleventh failure in a minute is not heard, whether the name exists or not, and the wait ends', async () => {
    for (const [name, address] of [
      [sample.owner.userName, '192.0.2.7'],
      ['nobody', '192.0.2.8'],
    ] as const) {
      await fail(10, name, address);
      await assert.rejects(signIn(name, 'wrong', address), { ...tooMany, retryAfterSeconds: 55 });
      await assert.rejects(signIn(name, 'wrong', '192.0.2.9'), tooMany, 'the name from another address');
      await assert.rejects(signIn('another', 'wrong', address), tooMany, 'another name from the address');
      clock.advance(55_000);
      await fail(1, name, address);
    }
  });

  test('a person whose name is being guessed still signs in where she did before, and waits elsewhere', async () => {
    const { userName, password } = sample.owner;
    assert(await signIn(userName, password, '198.51.100.1'));
    await fail(10, userName, '192.0.2.1');
    assert(await signIn(userName, password, '198.51.100.1'));
    await assert.rejects(signIn(userName, password, '198.51.100.2'), tooMany);
  });

  test('a right generated secret always works, so that guessing locks no machine out', async () => {
    const [password = ''] = await sample.adminPasswords(sample.registryUid);
    await fail(10, 'contoso', '192.0.2.1');
    await assert.rejects(signIn('contoso', 'wrong', '192.0.2.1'), tooMany);
    assert(await signIn('contoso', password, '192.0.2.1'));
    assert(await signIn(sample.owner.clientId, sample.owner.clientSecret, '192.0.2.1'));
  });

  test('many guesses at once are no more than ten', async () => {
    const guesses = Array.from({ length: 40 }, () => signIn(sample.owner.userName, 'wrong', '203.0.113.5'));
    const outcomes = await Promise.allSettled(guesses);
    assert.equal(outcomes.filter((outcome) => outcome.status === 'fulfilled').length, 10);
  });

  test('addresses of one IPv6 network are one address, and an IPv4 address in IPv6 form is itself', async () => {
    await fail(5, 'one', '2001:db8:1:2::1');
    await fail(5, 'two', '2001:db8:1:2:ffff::9');
    await assert.rejects(signIn('three', 'wrong', '2001:0db8:1:2:0:0:0:3'), tooMany);
    await fail(1, 'three', '2001:db8:1:3::1');
    await fail(10, 'four', '::ffff:192.0.2.99');
    await assert.rejects(signIn('five', 'wrong', '192.0.2.99'), tooMany);
  });

  test('an expired secret is wrong, and a disabled principal is nobody', async () => {
    const [password = ''] = await sample.adminPasswords(sample.otherUid);
    const other = () =>
      here.signIn({
        registryUid: sample.otherUid,
        userName: 'fabrikam',
        password,
        from: { address: '192.0.2.1', correlationId: 'test', userAgent: undefined },
      });
    const standing = await other();
    assert(standing);
    const expire = (at: number | null) =>
      database.transaction((tx) =>
        tx.updateTable('secrets').set({ expires_at: at }).where('uid', '=', standing.credentialUid).execute(),
      );
    await expire(clock.nowMicros());
    assert.equal(await other(), undefined);
    await expire(clock.nowMicros() + 1_000_000);
    assert(await other());
    const enable = (isEnabled: number) =>
      database.transaction((tx) =>
        tx.updateTable('principals').set({ is_enabled: isEnabled }).where('uid', '=', standing.principal.uid).execute(),
      );
    await enable(0);
    assert.equal(await other(), undefined);
    await enable(1);
    assert(await other());
  });

  test('what was typed as a name is not in the access log unless it is one', async () => {
    await fail(1, 'my-password-typed-into-the-wrong-field');
    await fail(1, 'contoso');
    const lines = (await here.accessLines()).slice(-2);
    assert.deepEqual(
      lines.map(({ kind, status }) => [kind, status]),
      [
        ['signIn', 401],
        ['signIn', 401],
      ],
    );
    assert.equal(JSON.stringify(lines).includes('my-password'), false);
    assert.notEqual(lines[1]?.identity, 'unknown');
  });
});
