import { join } from 'node:path';
import { indexAccesses } from '../src/features/insight/audit-index.ts';
import {
  type AuditCursor,
  type AuditFilter,
  type AuditQueryParts,
  auditPage,
} from '../src/features/insight/audit-query.ts';
import { createAccessLog } from '../src/platform/access-log/create-access-log.ts';
import type { Database } from '../src/platform/database/database.ts';
import { createJournal } from '../src/platform/journal/create-journal.ts';
import { createLog } from '../src/platform/log.ts';
import { systemClock } from '../src/platform/system-clock.ts';
import { systemIds as ids } from '../src/platform/system-ids.ts';
import { openAt } from '../test/support/databases.ts';
import { databaseUrl, onPostgres, testPostgresUrl } from '../test/support/postgres.ts';
import { temporaryFolder } from '../test/support/temporary-folder.ts';
import { below, type Verdict, verdictTable } from './report/goals.ts';
import { machineLine } from './report/machine.ts';
import { aligned } from './report/sequence-table.ts';

export type LongAudit = {
  /** Lines that are written first. */
  readonly accesses: number;
  readonly kind: Database['kind'];
  readonly print: (line: string) => void;
};

const repositories = 500;
const identities = 2_000;
const batch = 2_000;
const pages = 200;
const linesEach = 100;
const days = 30;
const goalMs = 50;
const startMicros = Date.UTC(2030, 0, 1) * 1_000;
const tenantUid = 'tenant';
const registryUid = 'contoso';
const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });

/** How long a page of a long audit takes: accesses of 500 repositories by 2,000 identities at random, over thirty days. */
export async function pagesOfAudit({ accesses, kind, print }: LongAudit): Promise<Verdict[]> {
  await using opened = new AsyncDisposableStack();
  const database = await openNew(kind, opened);
  const time = { micros: startMicros };
  const clock = { ...systemClock, nowMicros: () => time.micros };
  const parts = { database, journal: createJournal({ database, clock, ids }), clock, tenantUid };
  const timed = async (what: string, work: () => Promise<void>) => {
    const began = performance.now();
    const cpu = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(cpu);
    const seconds = ((performance.now() - began) / 1_000).toFixed(1);
    print(`${what} in ${seconds} s (${((user + system) / 1e6).toFixed(1)} CPU-s of this process)`);
  };
  await timed(`${kind}: ${accesses} accesses written`, () => write(parts, time, accesses));
  await timed(`${kind}: indexed`, () => indexAccesses(parts));
  const measured = [];
  for (const question of questions) measured.push(await read(parts, question));
  const rows = measured.map(({ name, p50, p99, lines }) => [
    name,
    ...[lines, p50, p99].map((figure) => figure.toFixed(1)),
  ]);
  for (const line of aligned([['', 'lines each', 'p50 ms', 'p99 ms'], ...rows])) print(line);
  return measured.map(({ name, p99 }) => ({
    goal: `Audit page ${name} of ${accesses.toLocaleString('en-US')} lines (${kind}) p99 < ${goalMs} ms`,
    ...below(p99, goalMs, 'ms'),
  }));
}

async function openNew(kind: Database['kind'], opened: AsyncDisposableStack): Promise<Database> {
  if (kind === 'sqlite') {
    const folder = opened.use(temporaryFolder('bench-audit'));
    const database = await openAt({ kind, location: join(folder.path, 'audit.sqlite') });
    opened.defer(() => database.close());
    return database;
  }
  const url = await testPostgresUrl();
  const name = `berth_bench_audit_${process.pid}`;
  await onPostgres(url, (client) => client.query(`create database ${name}`));
  opened.defer(async () => {
    await onPostgres(url, (client) => client.query(`drop database ${name} with (force)`));
  });
  const database = await openAt({ kind, location: databaseUrl(url, name) });
  opened.defer(() => database.close());
  return database;
}

async function write({ database }: AuditQueryParts, time: { micros: number }, accesses: number): Promise<void> {
  const stepMicros = Math.floor((days * 86_400_000_000) / accesses);
  const clock = { ...systemClock, nowMicros: () => time.micros };
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
async function read(parts: AuditQueryParts, [name, filterOf]: Question) {
  const took: number[] = [];
  let after: AuditCursor | undefined;
  let lines = 0;
  for (let round = 0; round < pages; round += 1) {
    const began = performance.now();
    const filter = { scope: registryUid, ...filterOf(Math.floor(round / 2)) };
    const page = await auditPage(parts, filter, { after, limit: linesEach });
    took.push(performance.now() - began);
    lines += page.records.length;
    after = after === undefined ? page.next : undefined;
  }
  const sorted = took.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(pages - 1, Math.floor(pages * share))] ?? Number.NaN;
  return { name, lines: lines / pages, p50: at(0.5), p99: at(0.99) };
}

/** `node bench/audit.ts [ACCESSES] [sqlite|postgres]`: what `script/bench --audit` does at ten million, on both. */
if (import.meta.main) {
  const [, , accesses = '1000000', kind = 'sqlite'] = process.argv;
  console.log(machineLine());
  const amount = { accesses: Number(accesses), kind: kind === 'postgres' ? kind : 'sqlite' } as const;
  console.log(verdictTable(await pagesOfAudit({ ...amount, print: console.log })));
}
