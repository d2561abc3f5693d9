import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { createAccessLog } from '../../platform/access-log/create-access-log.ts';
import { folderNotes } from '../../platform/blob-store/folder-notes.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createJournal } from '../../platform/journal/create-journal.ts';
import { createSealer } from '../../platform/keys/sealer.ts';
import { createLog } from '../../platform/log.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { AuditArchive } from './audit-archive.ts';
import { Checkpoints } from './audit-checkpoints.ts';
import { indexAccesses } from './audit-index.ts';
import { type AuditCursor, auditPage } from './audit-query.ts';
import { verifyAudit } from './audit-verification.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const tenantUid = 'tenant';
const dayMs = 86_400_000;
const job = { signal: new AbortController().signal, renew: async () => {} };

forEachDatabase((_, open) => {
  /** Two batches of accesses on the first day, one on the fifth; accesses are kept for two days. */
  async function installation({ hasArchive = true } = {}) {
    const database = await open();
    const held = new HeldClock();
    const clock = { ...systemClock, nowMicros: held.nowMicros };
    const folder = temporaryFolder('audit-archive');
    const accessLog = createAccessLog({ database, clock, ids, log });
    const journal = createJournal({ database, clock, ids });
    const sealer = createSealer([{ id: Buffer.alloc(8, 1), bytes: Buffer.alloc(32, 2) }], ids);
    const checkpoints = new Checkpoints({ database, clock, ids, sealer });
    const parts = { database, journal, clock, tenantUid };
    const archive = hasArchive ? folderNotes(folder.path, clock) : undefined;
    const work = new AuditArchive({ ...parts, log, retentionMs: 2 * dayMs, archive });
    const pull = async (tag: string) => {
      const common = { address: '192.0.2.9', correlationId: 'c', status: 200, identity: 'victor' } as const;
      accessLog.record({ ...common, kind: 'pull', registryUid: 'contoso', repository: 'app', tag });
      await accessLog.flush();
      await indexAccesses(parts);
      await checkpoints.write(job);
    };
    await pull('first');
    await pull('second');
    held.advance(5 * dayMs);
    await pull('fifth');
    return {
      database,
      work,
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
      verify: async (auditArchive = archive) => await Array.fromAsync(verifyAudit({ database, sealer, auditArchive })),
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
    const findings = await here.verify();
    assert.deepEqual(
      findings.map(({ kind, source, count }) => [kind, source, count]),
      [
        ['whole', 'checkpoints', 3],
        ['whole', 'access', 3],
      ],
    );
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
    assert((await here.verify()).every(({ kind }) => kind === 'whole'));
    await here.close();
  });
});

function edit(path: string, from: string, to: string): void {
  const text = zstdDecompressSync(readFileSync(path)).toString();
  writeFileSync(path, zstdCompressSync(text.replace(`"tag":"${from}"`, `"tag":"${to}"`)));
}

function drop(path: string, needle: string): void {
  const lines = zstdDecompressSync(readFileSync(path)).toString().split('\n');
  writeFileSync(path, zstdCompressSync(lines.filter((line) => !line.includes(needle)).join('\n')));
}
