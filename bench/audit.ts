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
const rounds = 200;
const linesEach = 100;
const days = 30;
const goalMs = 50;
const startMicros = Date.UTC(2030, 0, 1) * 1_000;
const tenantUid = 'tenant';
const registryUid = 'contoso';
const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });

/**
 * How long pages of a long audit take, and a hundred lines in as many pages as they come in: accesses of 500 repositories by 2,000
 * identities at random, over thirty days.
 */
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
  for (const question of questions) measured.push(await read(parts, question, accesses));
  const rows = measured.map(({ name, figures }) => [name, ...figures.map((figure) => figure.toFixed(1))]);
  for (const line of aligned([columns, ...rows])) print(line);
  return measured.map(({ name, p99 }) => ({
    goal: `a page ${name} of ${accesses.toLocaleString('en-US')} (${kind}) p99 < ${goalMs} ms`,
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
  const clock = { ...systemClock, nowMicros: () => time.micros };
  const accessLog = createAccessLog({ database, clock, ids, log });
  for (let written = 0; written < accesses; written += 1) {
    time.micros += stepMicros(accesses);
    accessLog.record({
      kind: 'pull',
      registryUid,
      repository: repositoryOf(written),
      tag: `v${written % 100}`,
      digest: `sha256:${String(written % 1_000).padStart(64, '0')}`,
      identity: identityOf(written),
      address: `192.0.2.${written % 250}`,
      userAgent: 'bench/1.0',
      correlationId: `c${written}`,
      status: 200,
    });
    if (written % batch === batch - 1) await accessLog.flush();
  }
  await accessLog.close();
}

const stepMicros = (accesses: number) => Math.floor((days * 86_400_000_000) / accesses);
const repositoryOf = (access: number) => `team/app${(access * 7_919) % repositories}`;
const identityOf = (access: number) => `identity${(access * 104_729) % identities}`;

type Question = {
  readonly name: string;
  readonly filter: (round: number) => Omit<AuditFilter, 'scope'>;
  /** Lines that there are. */
  readonly found: (accesses: number, round: number) => number;
};

const hourMicros = 3_600_000_000;
const endOfHour = (round: number) => (((round * 7) % (days * 24)) + 1) * hourMicros;

const questions: readonly Question[] = [
  { name: 'newest', filter: () => ({}), found: (accesses) => accesses },
  {
    name: 'of a repository',
    filter: (round) => ({ repository: repositoryOf(round * 31) }),
    found: (accesses) => Math.floor(accesses / repositories),
  },
  {
    name: 'of an identity',
    filter: (round) => ({ identity: identityOf(round * 37) }),
    found: (accesses) => Math.floor(accesses / identities),
  },
  {
    name: 'of an hour',
    filter: (round) => ({ toMicros: startMicros + endOfHour(round) }),
    found: (accesses, round) => Math.floor((endOfHour(round) - 1) / stepMicros(accesses)),
  },
  {
    name: 'of an identity in a repository',
    filter: (round) => ({ identity: identityOf(round * 41), repository: repositoryOf(round * 41) }),
    found: (accesses) => Math.floor(accesses / identities),
  },
];

const columns = ['', 'lines', 'pages', 'page p50 ms', 'p99', 'lines p50 ms', 'p99', 'CPU ms'];

/** The first lines and those that follow, in turn. What does not bring the lines that there are has taken for ever. */
async function read(parts: AuditQueryParts, { name, filter, found }: Question, accesses: number) {
  const took: number[] = [];
  const tookPages: number[] = [];
  let lines = 0;
  let after: AuditCursor | undefined;
  const cpu = process.cpuUsage();
  for (let round = 0; round < rounds; round += 1) {
    const asked = Math.floor(round / 2);
    const left = found(accesses, asked) - (after === undefined ? 0 : linesEach);
    const began = performance.now();
    const got = await linesBehind(parts, { scope: registryUid, ...filter(asked) }, after);
    const isAll = got.lines >= Math.min(linesEach, left);
    took.push(isAll ? performance.now() - began : Number.POSITIVE_INFINITY);
    tookPages.push(...(isAll ? got.tookPages : [Number.POSITIVE_INFINITY]));
    lines += got.lines;
    after = after === undefined ? got.next : undefined;
  }
  const { user, system } = process.cpuUsage(cpu);
  const ofPages = [0.5, 0.99].map((share) => shareOf(tookPages, share));
  const ofLines = [0.5, 0.99].map((share) => shareOf(took, share));
  const cpuMs = (user + system) / 1_000 / rounds;
  return {
    name,
    p99: shareOf(tookPages, 0.99),
    figures: [lines / rounds, tookPages.length / rounds, ...ofPages, ...ofLines, cpuMs],
  };
}

/** The least that so large a share of the values does not exceed. */
function shareOf(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Asks for pages until all lines are there, or there are no more. */
async function linesBehind(parts: AuditQueryParts, filter: AuditFilter, start: AuditCursor | undefined) {
  const tookPages: number[] = [];
  let lines = 0;
  let next = start;
  do {
    const began = performance.now();
    const page = await auditPage(parts, filter, { after: next, limit: linesEach - lines });
    tookPages.push(performance.now() - began);
    lines += page.records.length;
    next = page.next;
  } while (next !== undefined && lines < linesEach);
  return { lines, tookPages, next };
}

/** `node bench/audit.ts [ACCESSES] [sqlite|postgres]`: what `script/bench --audit` does at ten million, on both. */
if (import.meta.main) {
  const [, , accesses = '1000000', kind = 'sqlite'] = process.argv;
  console.log(machineLine());
  const amount = { accesses: Number(accesses), kind: kind === 'postgres' ? kind : 'sqlite' } as const;
  console.log(verdictTable(await pagesOfAudit({ ...amount, print: console.log })));
}
