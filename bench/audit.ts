import { join } from 'node:path';
import { indexAccesses } from '../src/features/insight/audit-index.ts';
import { type AuditCursor, type AuditFilter, auditPage } from '../src/features/insight/audit-query.ts';
import { createAccessLog } from '../src/platform/access-log/create-access-log.ts';
import type { Database } from '../src/platform/database/database.ts';
import { createJournal } from '../src/platform/journal/create-journal.ts';
import { createLog } from '../src/platform/log.ts';
import { systemClock } from '../src/platform/system-clock.ts';
import { systemIds as ids } from '../src/platform/system-ids.ts';
import { openAt } from '../test/support/databases.ts';
import { databaseUrl, onPostgres, testPostgresUrl } from '../test/support/postgres.ts';
import { temporaryFolder } from '../test/support/temporary-folder.ts';
import { machineLine } from './report/machine.ts';

/**
 * How long a page of a long audit takes: `node bench/audit.ts [ACCESSES] [sqlite|postgres]`. Accesses of 500 repositories by 2,000 identities at
 * random, over thirty days. The goal is a p99 below 50 ms at ten million, which takes a quarter of an hour to write.
 */
const accesses = Number(process.argv[2] ?? 1_000_000);
const kind = process.argv[3] === 'postgres' ? 'postgres' : 'sqlite';
const repositories = 500;
const identities = 2_000;
const batch = 2_000;
const pages = 100;
const days = 30;
const startMicros = Date.UTC(2030, 0, 1) * 1_000;
const stepMicros = Math.floor((days * 86_400_000_000) / accesses);
const tenantUid = 'tenant';
const registryUid = 'contoso';

using folder = temporaryFolder('bench-audit');
const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const database = await openNew();
const time = { micros: startMicros };
const clock = { ...systemClock, nowMicros: () => time.micros };
const parts = { database, journal: createJournal({ database, clock, ids }), clock, tenantUid };

async function openNew(): Promise<Database> {
  if (kind === 'sqlite') return await openAt({ kind, location: join(folder.path, 'audit.sqlite') });
  const url = await testPostgresUrl();
  await onPostgres(url, async (client) => {
    await client.query('create database berth_bench_audit');
  });
  return await openAt({ kind, location: databaseUrl(url, 'berth_bench_audit') });
}

async function write(): Promise<void> {
  const accessLog = createAccessLog({ database, clock, ids, log });
  for (let written = 0; written < accesses; written += 1) {
    time.micros += stepMicros;
    accessLog.record({
      kind: 'pull',
      registryUid,
      repository: `team/app${(written * 7_919) % repositories}`,
      tag: `v${written % 100}`,
      digest: `sha256:${String(written % 1_000).padStart(64, '0')}`,
      identity: `identity${(written * 104_729) % identities}`,
      address: `192.0.2.${written % 250}`,
      userAgent: 'bench/1.0',
      correlationId: `c${written}`,
      status: 200,
    });
    if (written % batch === batch - 1) await accessLog.flush();
  }
  await accessLog.close();
}

type Question = readonly [name: string, filter: (round: number) => Omit<AuditFilter, 'scope'>];

const questions: readonly Question[] = [
  ['newest', () => ({})],
  ['of a repository', (round) => ({ repository: `team/app${(round * 31) % repositories}` })],
  ['of an identity', (round) => ({ identity: `identity${(round * 37) % identities}` })],
  ['of an hour', (round) => ({ toMicros: startMicros + ((round * 7) % (days * 24)) * 3_600_000_000 + 3_600_000_000 })],
  ['of an identity in a repository', (round) => ({ identity: `identity${round}`, repository: `team/app${round}` })],
];

/** The first page and one that follows, in turn. */
async function read([name, filterOf]: Question): Promise<void> {
  const took: number[] = [];
  let after: AuditCursor | undefined;
  let lines = 0;
  for (let round = 0; round < pages; round += 1) {
    const began = performance.now();
    const page = await auditPage(
      parts,
      { scope: registryUid, ...filterOf(Math.floor(round / 2)) },
      { after, limit: 100 },
    );
    took.push(performance.now() - began);
    lines += page.records.length;
    after = after === undefined ? page.next : undefined;
  }
  const sorted = took.toSorted((a, b) => a - b);
  const at = (share: number) => (sorted[Math.min(pages - 1, Math.floor(pages * share))] ?? Number.NaN).toFixed(1);
  console.log(`| ${[name, pages, Math.round(lines / pages), at(0.5), at(0.99)].join(' | ')} |`);
}

async function timed(what: string, work: () => Promise<void>): Promise<void> {
  const began = performance.now();
  await work();
  console.log(`${what} in ${((performance.now() - began) / 1_000).toFixed(1)} s`);
}

console.log(`${machineLine()}; ${kind}`);
await timed(`${accesses} accesses written`, write);
await timed('indexed', () => indexAccesses(parts));
console.log('\n| Page | Pages | Lines each | p50 ms | p99 ms |\n|---|---|---|---|---|');
for (const question of questions) await read(question);
await database.close();
if (kind === 'postgres')
  await onPostgres(await testPostgresUrl(), async (client) => {
    await client.query('drop database berth_bench_audit with (force)');
  });
