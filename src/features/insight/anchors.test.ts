import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { startAzureServer } from '../../../test/support/azure-server.ts';
import { forEachDatabase, type OpenDatabase } from '../../../test/support/databases.ts';
import { rewriteHistory } from '../../../test/support/rewritten-history.ts';
import { startS3Server } from '../../../test/support/s3-server.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import { openAzureStore } from '../../platform/blob-store/azure/open-azure-store.ts';
import { folderNotes } from '../../platform/blob-store/folder-notes.ts';
import { openS3Store } from '../../platform/blob-store/s3/open-s3-store.ts';
import { parseStoreAddress } from '../../platform/blob-store/store-address.ts';
import type { StoreNotes } from '../../platform/blob-store/store-notes.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createJournal } from '../../platform/journal/create-journal.ts';
import { tenantStreamOf } from '../../platform/journal/journal.ts';
import { createSealer } from '../../platform/keys/sealer.ts';
import { createLog } from '../../platform/log.ts';
import { createOutbound } from '../../platform/outbound/outbound.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { acceptHistory } from './accept-history.ts';
import { copyAnchors, listAccepted, listAnchors, setAnchorAside } from './anchor-notes.ts';
import { lookAtAnchors } from './anchors.ts';
import { Checkpoints } from './audit-checkpoints.ts';
import { verifyAudit } from './audit-verification.ts';
import { thinCheckpoints } from './checkpoint-thinning.ts';
import { insightWork } from './insight-work.ts';

const dayMs = 86_400_000;
const tenantUid = 'tenant';
const job = { signal: new AbortController().signal, renew: async () => {} };
const sealer = createSealer([{ id: Buffer.alloc(8, 1), bytes: Buffer.alloc(32, 2) }], ids);
const folder = temporaryFolder('anchors');
after(() => folder.remove());

/** An installation whose checkpoints are 1 (log a), 2 (log b) and 3 (log a again), each signed by itself. */
async function installation(open: OpenDatabase, notes: StoreNotes) {
  const database = await open();
  const clock = new HeldClock();
  const journal = createJournal({ database, clock, ids });
  const lines: string[] = [];
  const log = createLog({
    sink: { write: (line) => void lines.push(line), dropped: () => 0 },
    format: 'json',
    level: 'warn',
  });
  const parts = { database, journal, clock, ids, sealer, log, notes, tenantUid };
  /** As a process that starts now. */
  const sign = async (by: StoreNotes = notes) => await new Checkpoints({ ...parts, notes: by }).write(job);
  const change = async (name: string) => {
    clock.advance(60_000);
    await journal.transaction(async (_tx, append) =>
      append({ stream: `registry/${name}/here`, type: 'tag.set', version: 1, actor: 'olivia', data: {} }),
    );
  };
  for (const name of ['a', 'b', 'a']) {
    await change(name);
    await sign();
  }
  return {
    ...parts,
    lines,
    sign,
    change,
    cutFrom: async (number: number) =>
      await database.transaction((tx) => tx.deleteFrom('audit_checkpoints').where('number', '>=', number).execute()),
    rewrite: async (name: string) => await rewriteHistory(database, `registry/${name}/here`),
    thin: async () => await thinCheckpoints(parts, job),
    kept: async () => (await listAnchors(notes)).map(({ number }) => number),
    strays: async () =>
      (await lookAtAnchors(parts)).filter(({ isStanding }) => !isStanding).map(({ number }) => number),
    verify: async () =>
      (await Array.fromAsync(verifyAudit({ database, sealer, notes }))).map(({ kind, source, at, stream, reason }) =>
        [kind, source, stream.split('/')[1], at, reason].filter((each) => each !== undefined).join(' '),
      ),
    accept: async () => await acceptHistory(parts, 'olivia'),
  };
}

const whole = ['whole checkpoints', 'whole journal a', 'whole journal b'];

forEachDatabase((name, open) => {
  let made = 0;
  const newNotes = () => {
    made += 1;
    return folderNotes(join(folder.path, `${name}-${made}`), systemClock);
  };
  const here = async () => await installation(open, newNotes());

  test('a history whose checkpoints were cut off, and that was written anew and signed again, is named by what the store was told', async () => {
    const { verify, cutFrom, rewrite, sign, thin, clock, lines } = await here();
    assert.deepEqual(await verify(), whole);
    await cutFrom(1);
    await rewrite('a');
    const found = [
      /^broken checkpoints 1 the checkpoint, signed at 2030-01-01T00:01:00.000Z, is gone or another,.* up to 3\. .*berth audit accept/,
      /^broken journal a 1 the history from 1 to 1 is not the one that was signed$/,
      /^whole journal b$/,
    ];
    const isFound = async () => {
      const told = await verify();
      assert.equal(told.length, found.length);
      for (const [index, pattern] of found.entries()) assert.match(told[index] ?? '', pattern);
    };
    await isFound();
    assert.deepEqual(lines, []);
    await sign();
    assert.match(
      lines.splice(0).join(),
      /"firstKept":1,"lastKept":3,"kept":3,"msg":"signed checkpoints .*not in the database/,
    );
    await isFound();
    clock.advance(8 * dayMs);
    await sign();
    await thin();
    await sign();
    await isFound();
  });

  test('where only the newest were cut off, the first of them is named', async () => {
    const { verify, cutFrom } = await here();
    await cutFrom(3);
    const [checkpoints, ...logs] = await verify();
    assert.match(checkpoints ?? '', /^broken checkpoints 3 /);
    assert.deepEqual(logs, whole.slice(1));
  });

  test('where more was cut off than the store still knows one by one, the first of all is named', async () => {
    const { change, sign, kept, verify, cutFrom, clock } = await here();
    clock.advance(8 * dayMs);
    await change('a');
    await sign();
    assert.deepEqual(await kept(), [4]);
    await cutFrom(2);
    assert.match((await verify())[0] ?? '', /^broken checkpoints 2 the checkpoint is gone .* up to 4\./);
  });

  test('a server that starts on a database that was cut says so', async () => {
    const { cutFrom, lines, ...parts } = await here();
    const startAndStop = async (until: () => boolean) => {
      const stop = new AbortController();
      const following = insightWork({ ...parts, clock: systemClock }).follow(stop.signal);
      await waitFor('what it says', 120_000, until);
      stop.abort();
      await following;
    };
    await cutFrom(2);
    await startAndStop(() => lines.length > 0);
    assert.match(lines.join(), /"firstKept":2,"lastKept":3/);
  });

  test('a process that was killed between database and store leaves it to the next one', async () => {
    const { change, sign, notes, kept, cutFrom, strays, verify } = await here();
    await change('b');
    const put = () => Promise.reject(new Error('killed'));
    await assert.rejects(sign({ ...notes, put }), /killed/);
    assert.deepEqual(await kept(), [1, 2, 3]);
    assert.deepEqual(await verify(), whole);
    await sign();
    assert.deepEqual(await kept(), [1, 2, 3, 4]);
    await cutFrom(4);
    assert.deepEqual(await strays(), [4]);
  });

  test('what is signed while the store cannot be reached is signed nevertheless', async () => {
    const { change, sign, notes, database } = await here();
    await change('b');
    const list: StoreNotes['list'] = () => {
      throw new Error('unreachable');
    };
    await assert.rejects(sign({ ...notes, list }), /unreachable/);
    const rows = await database.read.selectFrom('audit_checkpoints').select('number').execute();
    assert.equal(rows.length, 4);
  });

  test('processes that sign at the same time tell the store nothing that the database does not have', async () => {
    const { change, sign, strays, verify, lines } = await here();
    for (let round = 0; round < 5; round += 1) {
      for (const log of ['a', 'b']) await change(log);
      await Promise.all([sign(), sign(), sign()]);
    }
    assert.deepEqual(await strays(), []);
    assert.deepEqual(await verify(), whole);
    assert.deepEqual(lines, []);
  });

  test('the store keeps a week of them, and the newest however old it is', async () => {
    const { change, sign, kept, clock } = await here();
    clock.advance(6 * dayMs);
    await change('a');
    await sign();
    assert.deepEqual(await kept(), [1, 2, 3, 4]);
    clock.advance(2 * dayMs);
    await sign();
    assert.deepEqual(await kept(), [4]);
    clock.advance(30 * dayMs);
    await sign();
    assert.deepEqual(await kept(), [4]);
    await change('b');
    await sign();
    assert.deepEqual(await kept(), [5]);
  });

  test('those that were thinned are not missed; a gap that nobody signed does not stand for any', async () => {
    const { change, sign, thin, clock, database, strays, kept, cutFrom } = await here();
    for (let round = 0; round < 2; round += 1) {
      await change('a');
      await sign();
    }
    clock.advance(8 * dayMs);
    await thin();
    const rows = await database.read.selectFrom('audit_checkpoints').select('number').orderBy('number').execute();
    assert.deepEqual(
      rows.map(({ number }) => number),
      [1, 2, 4, 5],
    );
    assert.deepEqual([await kept(), await strays()], [[1, 2, 3, 4, 5], []]);
    await cutFrom(1);
    const gap = { number: 5, atMicros: 1, gap: { firstNumber: 1, hash: '0'.repeat(64) }, previous: '0'.repeat(64) };
    const place = { number: 5, source: 'checkpoints', stream: '', incarnation: '', seq: 1 } as const;
    await database.transaction((tx) =>
      tx
        .insertInto('audit_checkpoints')
        .values({ ...place, key_uid: 'unknown', statement: JSON.stringify(gap), signature: 'AAAA' })
        .execute(),
    );
    assert.deepEqual(await strays(), [1, 2, 3, 4, 5]);
  });

  test('what the store was told and somebody changed there is named by its number', async () => {
    const { notes, cutFrom, verify } = await here();
    for await (const { name } of notes.list('')) await notes.put(name, Buffer.from('nonsense'));
    assert.deepEqual(await verify(), whole);
    await cutFrom(2);
    assert.match((await verify())[0] ?? '', /^broken checkpoints 2 the checkpoint is gone or another/);
  });

  test('keys that left with the checkpoints do not hide that they are gone', async () => {
    const { database, cutFrom, sign, strays } = await here();
    await cutFrom(1);
    await database.transaction((tx) => tx.deleteFrom('audit_keys').execute());
    await sign();
    assert.deepEqual(await strays(), [1, 2, 3]);
  });

  test('an owner takes an older history as it is: an event says so, what the store was told stays there under another name', async () => {
    const { accept, cutFrom, verify, sign, notes, lines, journal, kept } = await here();
    assert.equal(await accept(), undefined);
    await cutFrom(2);
    assert.deepEqual(await accept(), { first: 2, last: 3 });
    assert.equal(await accept(), undefined);
    const stream = tenantStreamOf(tenantUid);
    const [event, ...others] = await journal.after(await journal.start(stream), 10);
    assert.deepEqual(
      [event?.type, event?.actor, event?.data, others],
      ['audit.accepted', 'olivia', { firstCheckpoint: 2, lastCheckpoint: 3 }, []],
    );
    const accepted = ['whole checkpoints an owner accepted that some from 2 to 3 are gone', ...whole.slice(1)];
    assert.deepEqual((await verify()).slice(0, 3), accepted);
    const aside = await Array.fromAsync(notes.list('audit-accepted.'), ({ name: each }) => Number(each.split('.')[1]));
    assert.deepEqual(aside.sort(), [2, 3]);
    await sign();
    assert.deepEqual(lines, []);
    assert.deepEqual((await kept())[0], 1);
    assert.deepEqual((await verify()).slice(0, 3), accepted);
  });

  test('another store takes over what one was told', async () => {
    const { notes, kept } = await here();
    const [first] = await listAnchors(notes);
    assert.ok(first);
    await setAnchorAside(notes, first);
    const other = newNotes();
    await copyAnchors(notes, other);
    await copyAnchors(notes, other);
    assert.deepEqual(await listAnchors(other), await listAnchors(notes));
    assert.deepEqual(await listAccepted(other), [first], 'what an owner accepted is told of for good');
    assert.deepEqual(await kept(), [2, 3]);
  });

  if (name === 'sqlite')
    describe('object stores', async () => {
      const s3 = await startS3Server();
      const azure = await startAzureServer();
      const outbound = createOutbound({ allow: ['127.0.0.0/8'], hosts: new Map(), clock: systemClock });
      after(async () => {
        await outbound.close();
        await s3[Symbol.asyncDispose]();
        await azure[Symbol.asyncDispose]();
      });
      const [s3Address, azureAddress] = [parseStoreAddress(s3.blobs), parseStoreAddress(azure.blobs)];
      assert.ok(s3Address.kind === 's3' && azureAddress.kind === 'azure');
      const parts = { outbound, clock: systemClock, ids };
      const stores: Readonly<Record<string, StoreNotes>> = {
        S3: openS3Store({ ...parts, address: s3Address, credentials: s3.credentials }).notes,
        Azure: openAzureStore({ ...parts, address: azureAddress, accountKey: azure.accountKey }).notes,
      };
      for (const [kind, notes] of Object.entries(stores))
        test(`${kind}: what was cut off is named, and accepted`, async () => {
          const { verify, cutFrom, rewrite, sign, accept, kept } = await installation(open, notes);
          assert.deepEqual(await kept(), [1, 2, 3]);
          await cutFrom(1);
          await rewrite('b');
          await sign();
          const found = await verify();
          assert.match(found[0] ?? '', /^broken checkpoints 1 /);
          assert.match(found[2] ?? '', /^broken journal b 1 /);
          assert.deepEqual(await accept(), { first: 1, last: 3 });
          assert.deepEqual((await verify()).slice(1, 3), whole.slice(1));
        });
    });
});
