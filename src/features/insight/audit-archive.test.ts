import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { Updateable } from 'kysely';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { createAccessLog } from '../../platform/access-log/create-access-log.ts';
import { folderNotes } from '../../platform/blob-store/folder-notes.ts';
import type { StoreNotes } from '../../platform/blob-store/store-notes.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Schema } from '../../platform/database/schema.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createJournal } from '../../platform/journal/create-journal.ts';
import { createSealer } from '../../platform/keys/sealer.ts';
import { createLog } from '../../platform/log.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { AuditArchive, type SegmentRow } from './audit-archive.ts';
import { appendStatement, Checkpoints } from './audit-checkpoints.ts';
import { indexAccesses } from './audit-index.ts';
import { type AuditCursor, auditPage } from './audit-query.ts';
import { parseStatement } from './audit-statement.ts';
import { type Finding, verifyAudit } from './audit-verification.ts';
import { thinCheckpoints } from './checkpoint-thinning.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const tenantUid = 'tenant';
const dayMs = 86_400_000;
const job = { signal: new AbortController().signal, renew: async () => {} };

forEachDatabase((_, open) => {
  /** Two batches of accesses on the first day, one on the fifth; accesses are kept for two days. */
  async function installation({ hasArchive = true } = {}) {
    const opened = await open();
    const watch = { afterTransaction: async () => {} };
    const transaction: Database['transaction'] = async (work, options) => {
      const result = await opened.transaction(work, options);
      await watch.afterTransaction();
      return result;
    };
    const database: Database = { ...opened, transaction };
    const held = new HeldClock();
    const clock = { ...systemClock, nowMicros: held.nowMicros };
    const folder = temporaryFolder('audit-archive');
    const accessLog = createAccessLog({ database, clock, ids, log });
    const journal = createJournal({ database, clock, ids });
    const sealer = createSealer([{ id: Buffer.alloc(8, 1), bytes: Buffer.alloc(32, 2) }], ids);
    // Where the blobs would be.
    const storeNotes = folderNotes(join(folder.path, 'store'), clock);
    const checkpoints = new Checkpoints({ database, clock, ids, sealer, log, notes: storeNotes });
    const parts = { database, journal, clock, tenantUid };
    const archive = hasArchive ? folderNotes(folder.path, clock) : undefined;
    const workWith = (notes: StoreNotes | undefined) =>
      new AuditArchive({ ...parts, ids, sealer, log, notes: storeNotes, retentionMs: 2 * dayMs, archive: notes });
    const common = {
      kind: 'pull',
      registryUid: 'contoso',
      address: '192.0.2.9',
      correlationId: 'c',
      status: 200,
    } as const;
    const note = async () => {
      await accessLog.flush();
      await indexAccesses(parts);
      await checkpoints.write(job);
    };
    const pull = async (tag: string) => {
      accessLog.record({ ...common, repository: 'app', identity: 'victor', tag });
      await note();
    };
    await pull('first');
    await pull('second');
    held.advance(5 * dayMs);
    await pull('fifth');
    return {
      database,
      watch,
      held,
      pull,
      thin: async () => await thinCheckpoints({ database, clock, ids, sealer, log, notes: storeNotes }, job),
      /** What is signed: `first-last` for what left. */
      signed: async () => {
        const rows = await database.read
          .selectFrom('audit_checkpoints')
          .select('statement')
          .orderBy('number')
          .execute();
        return rows
          .map(({ statement }) => parseStatement(statement))
          .filter((each) => each !== undefined)
          .map(({ seq, segment }) => (segment === undefined ? `${seq}` : `${segment.firstSeq}-${seq}`));
      },
      signRemoval: async ({
        stream,
        first_seq: firstSeq,
        last_seq: seq,
        last_hash: hash,
        name,
        sha256,
      }: SegmentRow) => {
        const head = { source: 'access', stream, incarnation: '', seq, hash } as const;
        const removal = { ...head, segment: { firstSeq, name, sha256 } };
        await database.transaction((tx) => appendStatement(tx, { clock, ids, sealer }, removal));
      },
      /** Of as many repositories, by as many identities, in one batch. */
      pullMany: async (count: number) => {
        for (let each = 0; each < count; each += 1)
          accessLog.record({ ...common, repository: `app${each}`, identity: `identity${each}` });
        await note();
      },
      work: workWith(archive),
      workWith,
      archive: folderNotes(folder.path, clock),
      notes: join(folder.path, 'notes'),
      tags: async () => {
        const tags: string[] = [];
        let after: AuditCursor | undefined;
        do {
          const page = await auditPage(parts, { scope: 'contoso' }, { after, limit: 100 });
          tags.push(...page.records.map(({ tag }) => tag));
          after = page.next;
        } while (after !== undefined);
        return tags;
      },
      verify: async (auditArchive = archive) =>
        await Array.fromAsync(verifyAudit({ database, sealer, notes: storeNotes, auditArchive })),
      close: async () => {
        await accessLog.close();
        folder.remove();
      },
    };
  }

  test('old accesses move into the archive as lines; what is left can be found, and all of it verified', async () => {
    const here = await installation();
    await here.work.run(job);
    assert.deepEqual(await here.tags(), ['fifth']);
    const [name = ''] = readdirSync(here.notes);
    const text = zstdDecompressSync(readFileSync(join(here.notes, name))).toString();
    const lines = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      lines.map(({ kind, tag = '' }) => `${kind} ${tag}`.trim()),
      ['segment', 'batch', 'pull first', 'batch', 'pull second', 'checkpoint', 'checkpoint'],
    );
    assert.deepEqual(countsOf(await here.verify()), ['whole checkpoints 4, 0 removed', 'whole access 3, 0 removed']);
    const terms = await here.database.read.selectFrom('audit_terms').select('first_seq').distinct().execute();
    assert.deepEqual(terms, [{ first_seq: 3 }]);
    await here.work.run(job);
    assert.equal(readdirSync(here.notes).length, 1);
    await here.close();
  });

  const tampers: readonly [string, (path: string) => void, RegExp][] = [
    ['a file that is gone', (path) => rmSync(path), /the archive has no/],
    ['a file that is none', (path) => writeFileSync(path, 'nonsense'), /not the one that was written/],
    ['a line that was changed', (path) => edit(path, 'second', 'other'), /lines of the batch/],
    ['a line that was left out', (path) => drop(path, '"tag":"second"'), /lines of the batch/],
    ['a batch that was left out', (path) => drop(path, '"seq":2'), /missing/],
  ];
  for (const [what, tamper, pattern] of tampers)
    test(`verify names ${what}`, async () => {
      const here = await installation();
      await here.work.run(job);
      const [name = ''] = readdirSync(here.notes);
      tamper(join(here.notes, name));
      const [broken] = (await here.verify()).filter(({ kind }) => kind === 'broken');
      assert.match(broken?.reason ?? '', pattern);
      await here.close();
    });

  test('what a crash left in both places leaves the database with the next run', async () => {
    const here = await installation();
    const aborted = AbortSignal.abort(new Error('killed'));
    await assert.rejects(here.work.run({ ...job, signal: aborted }));
    assert.equal((await here.tags()).length, 3);
    assert((await here.verify()).every(({ kind }) => kind === 'whole'));
    await here.work.run(job);
    assert.deepEqual(await here.tags(), ['fifth']);
    assert((await here.verify()).every(({ kind }) => kind === 'whole'));
    await here.close();
  });

  test('without an archive they are gone, and what follows still fits', async () => {
    const here = await installation({ hasArchive: false });
    await here.work.run(job);
    assert.deepEqual(await here.tags(), ['fifth']);
    assert.deepEqual(countsOf(await here.verify()), ['whole checkpoints 4, 0 removed', 'whole access 1, 2 removed']);
    await here.close();
  });

  test('checkpoints of what is in the archive leave, and verify names what was changed there all the same', async () => {
    const here = await installation();
    await here.work.run(job);
    here.held.advance(8 * dayMs);
    await here.pull('late');
    assert.deepEqual(await here.signed(), ['1', '2', '3', '1-2', '4']);
    await here.thin();
    assert.deepEqual(await here.signed(), ['1-2', '4']);
    assert.deepEqual(countsOf(await here.verify()), ['whole checkpoints 2, 0 removed', 'whole access 4, 0 removed']);
    const [name = ''] = readdirSync(here.notes);
    rewrite(join(here.notes, name));
    const [broken] = (await here.verify()).filter(({ kind }) => kind === 'broken');
    assert.deepEqual([broken?.at, broken?.reason], [1, notSigned]);
    await here.close();
  });

  test('what goes on to leave for good has one row and one statement', async () => {
    const here = await installation({ hasArchive: false });
    for (const tag of ['sixth', 'seventh']) {
      await here.work.run(job);
      here.held.advance(5 * dayMs);
      await here.pull(tag);
    }
    await here.work.run(job);
    here.held.advance(8 * dayMs);
    await here.pull('last');
    await here.thin();
    assert.deepEqual(await here.signed(), ['1-4', '6']);
    const segments = await here.database.read.selectFrom('audit_segments').select(['first_seq', 'last_seq']).execute();
    assert.deepEqual(segments, [{ first_seq: 1, last_seq: 4 }]);
    assert.deepEqual(countsOf(await here.verify()), ['whole checkpoints 2, 0 removed', 'whole access 2, 4 removed']);
    await here.close();
  });

  test('what older programs removed for good piece by piece is joined, also of a log that has ended; what nobody signed is not', async () => {
    const here = await installation({ hasArchive: false });
    const [, second] = await here.database.read.selectFrom('access_batches').select('hash').orderBy('seq').execute();
    await here.work.run(job);
    here.held.advance(5 * dayMs);
    await here.work.run(job);
    // As they wrote it: a row and a statement for each.
    const segments = () => here.database.read.selectFrom('audit_segments').selectAll().execute();
    const [joined = assert.fail()] = await segments();
    assert.deepEqual([joined.first_seq, joined.last_seq], [1, 3]);
    const hash = second?.hash ?? '';
    const pieces = [
      { ...joined, number: 8, last_seq: 2, last_hash: hash },
      { ...joined, number: 9, first_seq: 3, previous_hash: hash },
    ];
    await here.database.transaction(async (tx) => {
      await tx.deleteFrom('audit_segments').execute();
      await tx.insertInto('audit_segments').values(pieces).execute();
    });
    await here.work.run(job);
    assert.equal((await segments()).length, 2);
    for (const piece of pieces) await here.signRemoval(piece);
    assert.deepEqual(await here.signed(), ['1', '2', '3', '1-2', '1-3', '1-2', '3-3']);
    assert.deepEqual(countsOf(await here.verify()), ['whole checkpoints 7, 0 removed', 'whole access 0, 3 removed']);
    await here.work.run(job);
    assert.deepEqual(
      (await segments()).map(({ first_seq, last_seq }) => [first_seq, last_seq]),
      [[1, 3]],
    );
    assert.deepEqual(countsOf(await here.verify()), ['whole checkpoints 8, 0 removed', 'whole access 0, 3 removed']);
    await here.work.run(job);
    assert.equal((await here.signed()).length, 8);
    await here.close();
  });

  test('what left for good before and after a file of the archive is not looked at again and again', async () => {
    const here = await installation();
    await here.work.run(job);
    here.held.advance(5 * dayMs);
    await here.pull('last');
    await here.workWith(undefined).run(job);
    const [file = assert.fail(), after = assert.fail()] = await here.database.read
      .selectFrom('audit_segments')
      .selectAll()
      .orderBy('last_seq')
      .execute();
    assert.deepEqual([file.name === '', after.name], [false, '']);
    const before = { ...after, number: 9, first_seq: 0, last_seq: 0, last_hash: file.previous_hash };
    await here.database.transaction((tx) => tx.insertInto('audit_segments').values(before).execute());
    let writes = 0;
    here.watch.afterTransaction = async () => {
      writes += 1;
    };
    await here.workWith(undefined).run(job);
    assert.equal(writes, 0);
    await here.close();
  });

  test('nobody has us sign that more left for good than did', async () => {
    const here = await installation();
    await here.work.run(job);
    // As if the batches in the archive had left for good.
    await here.database.transaction((tx) => tx.updateTable('audit_segments').set({ name: '' }).execute());
    here.held.advance(5 * dayMs);
    await here.workWith(undefined).run(job);
    assert.deepEqual((await here.signed()).at(-1), '3-3');
    assert.match((await here.verify())[1]?.reason ?? '', /nobody signed that batches 1 to 2 were removed/);
    await here.close();
  });

  test('verify names accesses that were removed as if by retention', async () => {
    const here = await installation({ hasArchive: false });
    const rows = await here.database.read.selectFrom('access_batches').selectAll().orderBy('seq').execute();
    const { stream, hash } = rows[1] ?? assert.fail();
    await here.database.transaction(async (tx) => {
      await tx.deleteFrom('access_batches').where('seq', '<=', 2).execute();
      const range = { stream, first_seq: 1, last_seq: 2, previous_hash: '0'.repeat(64), last_hash: hash };
      const rest = { number: 1, first_at: 1, last_at: 2, name: '', sha256: '', is_removed: 1, created_at: 3 };
      await tx
        .insertInto('audit_segments')
        .values({ ...range, ...rest })
        .execute();
    });
    assert.match((await here.verify())[1]?.reason ?? '', /nobody signed that batches 1 to 2 were removed/);
    await here.close();
  });

  test('verify names a file of the archive that was denied, or said to hold more', async () => {
    for (const change of [{ name: '' }, { last_seq: 3 }, { first_seq: 2 }, { sha256: 'other' }]) {
      const here = await installation();
      await here.work.run(job);
      await here.database.transaction((tx) => tx.updateTable('audit_segments').set(change).execute());
      assert.equal((await here.verify())[1]?.kind, 'broken', JSON.stringify(change));
      await here.close();
    }
  });

  const forgeries: readonly [string, number, Partial<Updateable<Schema['access_batches']>>][] = [
    ['an access that was made to look old', 3, { last_at: 1, first_at: 1 }],
    ['an access that was changed', 2, { bytes: zstdCompressSync('{"at":1}\n') }],
  ];
  for (const [what, seq, change] of forgeries)
    test(`${what} is not removed`, async () => {
      const here = await installation({ hasArchive: false });
      await here.database.transaction((tx) =>
        tx.updateTable('access_batches').set(change).where('seq', '=', seq).execute(),
      );
      await here.work.run(job);
      const rows = await here.database.read.selectFrom('access_batches').select('seq').orderBy('seq').execute();
      assert.deepEqual(
        rows.map((row) => row.seq),
        [1, 2, 3],
      );
      await here.close();
    });

  test('accesses that were written anew, hashes and all, are not removed', async () => {
    const here = await installation({ hasArchive: false });
    const [first, second] = await here.database.read.selectFrom('access_batches').selectAll().orderBy('seq').execute();
    const bytes = zstdCompressSync('{"at":1}\n');
    const hash = createHash('sha256')
      .update(first?.hash ?? '')
      .update(bytes)
      .digest('hex');
    await here.database.transaction((tx) =>
      tx
        .updateTable('access_batches')
        .set({ bytes, hash })
        .where('seq', '=', second?.seq ?? 0)
        .execute(),
    );
    await here.work.run(job);
    assert.equal((await here.verify())[1]?.at, 2);
    assert.deepEqual(await here.database.read.selectFrom('audit_segments').selectAll().execute(), []);
    await here.close();
  });

  test('a run that stood still while another went on does not take the place of what that wrote', async () => {
    const here = await installation();
    const [reached, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const stalled = here.workWith({
      ...here.archive,
      put: async (name, bytes) => {
        reached.resolve();
        await gate.promise;
        await here.archive.put(name, bytes);
      },
    });
    const run = stalled.run(job);
    await reached.promise;
    // What was too young for the one is old enough for the other.
    here.held.advance(5 * dayMs);
    await here.work.run(job);
    assert.deepEqual(await here.tags(), []);
    gate.resolve();
    await run;
    assert.deepEqual(countsOf(await here.verify()), ['whole checkpoints 4, 0 removed', 'whole access 3, 0 removed']);
    await here.close();
  });

  test('a run whose lease is gone writes no file', async () => {
    const here = await installation();
    await assert.rejects(here.work.run({ ...job, renew: () => Promise.reject(new Error('taken over')) }), /taken over/);
    assert(!existsSync(here.notes));
    await here.close();
  });

  test('verify reads again what moves into the archive meanwhile', async () => {
    const here = await installation();
    await here.work.run(job);
    let moved = 0;
    const moving = {
      ...here.archive,
      get: async (name: string) => {
        moved += 1;
        if (moved === 1) {
          here.held.advance(5 * dayMs);
          await here.work.run(job);
        }
        return await here.archive.get(name);
      },
    };
    assert.deepEqual(countsOf(await here.verify(moving)), [
      'whole checkpoints 4, 0 removed',
      'whole access 3, 0 removed',
    ]);
    assert.deepEqual(await here.tags(), []);
    await here.close();
  });

  test('others can write while accesses are removed: each step is small', async () => {
    const here = await installation({ hasArchive: false });
    await here.pullMany(500);
    here.held.advance(5 * dayMs);
    const countTerms = async () => {
      const { count } = await here.database.read
        .selectFrom('audit_terms')
        .select((at) => at.fn.countAll<number>().as('count'))
        .executeTakeFirstOrThrow();
      return Number(count);
    };
    const counts = [await countTerms()];
    here.watch.afterTransaction = async () => {
      counts.push(await countTerms());
    };
    await here.work.run(job);
    assert((counts[0] ?? 0) > 1_000);
    assert.equal(counts.at(-1), 0);
    for (const [step, count] of counts.entries()) assert((counts[step - 1] ?? count) - count <= 200);
    await here.close();
  });
});

function countsOf(findings: readonly Finding[]): string[] {
  return findings.map(({ kind, source, count, removed, reason = '' }) =>
    `${kind} ${source} ${count}, ${removed} removed ${reason}`.trim(),
  );
}

function edit(path: string, from: string, to: string): void {
  const text = zstdDecompressSync(readFileSync(path)).toString();
  writeFileSync(path, zstdCompressSync(text.replace(`"tag":"${from}"`, `"tag":"${to}"`)));
}

const notSigned = 'the batches from 1 to 2 in the archive are not those that were signed';

/** The accesses of a file written anew, hashes and all. */
function rewrite(path: string): void {
  const [head = '', ...lines] = zstdDecompressSync(readFileSync(path)).toString().split('\n');
  let previous = '0'.repeat(64);
  const written = lines.flatMap((line) => {
    const { kind, seq } = line === '' ? { kind: '', seq: 0 } : JSON.parse(line);
    if (kind !== 'batch') return [];
    const text = `{"at":${seq}}`;
    const bytes = zstdCompressSync(`${text}\n`);
    previous = createHash('sha256').update(previous).update(bytes).digest('hex');
    return [JSON.stringify({ kind, seq, hash: previous, bytes: bytes.toString('base64') }), text];
  });
  writeFileSync(path, zstdCompressSync([head, ...written, ''].join('\n')));
}

function drop(path: string, needle: string): void {
  const lines = zstdDecompressSync(readFileSync(path)).toString().split('\n');
  writeFileSync(path, zstdCompressSync(lines.filter((line) => !line.includes(needle)).join('\n')));
}
