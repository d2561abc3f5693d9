import { z } from 'zod';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { JobKind, JobRun, Jobs } from '../../platform/jobs/jobs.ts';
import type { Journal } from '../../platform/journal/journal.ts';
import type { Log } from '../../platform/log.ts';
import type { AuditRow } from '../../wire/events/audit-schema.ts';
import { recordsOfBatch } from './access-batch.ts';
import { listAccessStreams } from './access-streams.ts';
import { type AuditRecord, recordOfAccess, recordOfEvent } from './audit-record.ts';
import { type AuditRowParts, auditRowOf } from './audit-row.ts';
import {
  type DiagnosticState,
  parseDiagnosticState,
  placeOf,
  refusalAt,
  refusedForMicros,
} from './diagnostic-state.ts';
import {
  type DiagnosticCursor,
  type DiagnosticRow,
  findDiagnostic,
  listDueDiagnostics,
  logsBehind,
  moveLogCursor,
  noteAttempt,
} from './diagnostic-store.ts';
import { LineRefused, type LogBatch, type LogSending, type LogWriter } from './log-writers.ts';
import { withNames } from './principal-names.ts';

export type DiagnosticsParts = AuditRowParts & {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Log;
  readonly jobs: Pick<Jobs, 'add'>;
  /** By the names of destinations in the settings. */
  readonly writers: ReadonlyMap<string, LogWriter>;
};

const sendJob = 'diagnostics.send';
const payloadSchema = z.object({ settingUid: z.string() });
const planEveryMs = 10_000;
/** Longer than a destination may take to answer. */
const leaseMs = 60_000;
/** A destination that fails is no failed job: these count faults of our own. */
const maxAttempts = 100_000;
const eventsAtOnce = 500;
/** A batch for a destination has about as many lines, of as many pieces of a log at most: the place in the log is kept after each. */
const rowsAtOnce = 500;
const piecesAtOnce = 60;
const firstRetryMs = 10_000;
const longestRetryMs = 600_000;

/** One run of a setting; what it comes to know goes on into the next. */
type SettingRun = { readonly row: DiagnosticRow; readonly job: LogSending; state: DiagnosticState };
type Offer = LogBatch & { readonly lastSeq: number };

/**
 * Sends the logs of registries to where diagnostic settings say: at least once, each stream in order, from where it stopped
 * after whatever crash. A destination that fails is tried again for ever, and keeps no other waiting. A line that it refuses for a day,
 * while it takes others, is given up: a line of the operation `dropped` is sent in its place. Those that follow it within a day have
 * no day of their own: strangers who get a line refused now and then could otherwise hold up all the others.
 */
export class Diagnostics {
  readonly #parts: DiagnosticsParts;

  constructor(parts: DiagnosticsParts) {
    this.#parts = parts;
  }

  /** Looks who is to be sent something. The heads of the access log are the same for all. */
  planKind(): JobKind {
    const run = async () => {
      const { database, clock, jobs } = this.#parts;
      const behind: string[] = [];
      const accesses = await listAccessStreams(database.read);
      for (const row of await listDueDiagnostics(database.read, clock.nowMicros()))
        if (row.failures > 0 || (await logsBehind(database.read, row, accesses)).length > 0) behind.push(row.uid);
      if (behind.length === 0) return;
      await database.transaction(async (tx) => {
        for (const settingUid of behind)
          await jobs.add(tx, { kind: sendJob, key: settingUid, payload: { settingUid } });
      });
    };
    return { kind: 'diagnostics.plan', run, leaseMs: 30_000, maxAttempts: 10, everyMs: planEveryMs };
  }

  /** The sending; each run holds its place for as long as its destination takes, so it wants the runner of webhooks. */
  sendKind(): JobKind {
    const run = async (job: JobRun) => await this.send(payloadSchema.parse(job.payload).settingUid, job);
    return { kind: sendJob, run, leaseMs, maxAttempts };
  }

  async send(settingUid: string, job: LogSending): Promise<void> {
    const { database, clock, log } = this.#parts;
    const row = await findDiagnostic(database.read, settingUid);
    if (row === undefined || row.is_enabled === 0) return;
    const run: SettingRun = { row, job, state: parseDiagnosticState(row.last_error) };
    try {
      for (const cursor of await logsBehind(database.read, row, await listAccessStreams(database.read)))
        if (!(await this.#sendStream(run, cursor))) return;
      const { droppedLines, droppedAtMicros } = run.state;
      const state = { error: '', droppedLines, droppedAtMicros };
      if (row.failures > 0) await noteAttempt(database, row, { failures: 0, retryAtMicros: 0, state });
    } catch (error) {
      job.signal.throwIfAborted();
      const state = { ...run.state, error: error instanceof Error ? error.message : String(error) };
      log.warn('logs not sent', { setting: row.uid, destination: row.destination, error });
      const delayMs = Math.min(firstRetryMs * 2 ** Math.min(row.failures, 10), longestRetryMs);
      const retryAtMicros = clock.nowMicros() + delayMs * 1_000;
      await noteAttempt(database, row, { failures: row.failures + 1, retryAtMicros, state });
    }
  }

  /** False when the setting is no more what it was. */
  async #sendStream(run: SettingRun, start: DiagnosticCursor): Promise<boolean> {
    const { row, job } = run;
    const write = this.#parts.writers.get(row.destination);
    if (write === undefined) throw new Error(`the settings have no log destination ${row.destination} any more`);
    const categories = z.array(z.string()).parse(JSON.parse(row.categories));
    for (let cursor = start; ; ) {
      job.signal.throwIfAborted();
      const { rows, seq } = await this.#gather(row, categories, cursor, refusalAt(run.state, cursor)?.lastSeq);
      if (seq === cursor.seq) return true;
      if (rows.length > 0)
        await this.#offer(run, cursor, { name: nameOf(row, cursor, seq), rows, lastSeq: seq }, write);
      if (!(await moveLogCursor(this.#parts.database, row, cursor, seq))) return false;
      cursor = { ...cursor, seq };
      await job.renew();
    }
  }

  /** Has a batch written; in the place of a line that is given up, what was dropped. Throws what the writer throws. */
  async #offer(run: SettingRun, cursor: DiagnosticCursor, batch: Offer, write: LogWriter): Promise<void> {
    const { clock } = this.#parts;
    const { sinceMicros = clock.nowMicros(), taken = 0 } = refusalAt(run.state, cursor) ?? {};
    const { lastSeq, name } = batch;
    for (let at = taken; at < batch.rows.length; at += 1) {
      const refused = await refusalOf(write({ name, rows: batch.rows.slice(at) }, run.job));
      if (refused === undefined) return;
      at += refused.taken;
      run.state = { ...run.state, refusal: { place: placeOf(cursor), lastSeq, taken: at, sinceMicros } };
      const dayAgoMicros = clock.nowMicros() - refusedForMicros;
      if (sinceMicros > dayAgoMicros && run.state.droppedAtMicros <= dayAgoMicros) throw refused;
      // Who refuses this too refuses everything: then nothing is given up.
      const line = this.#droppedRow(run.row, `${name}.${at}`, batch.rows[at]?.Category, refused);
      await write({ name: `${name}.${at}.dropped`, rows: [line] }, run.job);
      await this.#noteDropped(run, { place: placeOf(cursor), lastSeq, taken: at + 1, sinceMicros }, refused);
    }
  }

  /** A crash right before it repeats the line of what was dropped. */
  async #noteDropped(run: SettingRun, refusal: DiagnosticState['refusal'], error: LineRefused): Promise<void> {
    const { database, clock, log } = this.#parts;
    const { row } = run;
    const { uid, destination, failures, retry_at: retryAtMicros } = row;
    log.error('logs dropped', { setting: uid, destination, lines: 1, error });
    const droppedLines = run.state.droppedLines + 1;
    run.state = { error: error.message, refusal, droppedLines, droppedAtMicros: clock.nowMicros() };
    await noteAttempt(database, row, { failures, retryAtMicros, state: run.state });
  }

  #droppedRow(
    { registry_uid: registryUid }: DiagnosticRow,
    name: string,
    category: AuditRow['Category'] | undefined,
    { message: reason }: LineRefused,
  ): AuditRow {
    const at = this.#parts.clock.nowMicros();
    const line = JSON.stringify({ at, kind: 'dropped', registryUid, times: 1, reason });
    const row = auditRowOf(this.#parts, recordOfAccess(line, `dropped/${name}`));
    return { ...row, Category: category ?? row.Category };
  }

  /** The lines behind the cursor that the setting wants, enough for a batch of them, and how far they go. */
  async #gather(
    { registry_uid }: DiagnosticRow,
    categories: readonly string[],
    cursor: DiagnosticCursor,
    lastSeq = Number.MAX_SAFE_INTEGER,
  ) {
    const rows: AuditRow[] = [];
    let { seq } = cursor;
    for (let pieces = 0; pieces < piecesAtOnce && rows.length < rowsAtOnce && seq < lastSeq; pieces += 1) {
      const next = await this.#next({ ...cursor, seq }, registry_uid, lastSeq);
      if (next.seq === seq) break;
      const wanted = next.records.filter(
        ({ registryUid, category }) => registryUid === registry_uid && categories.includes(category),
      );
      const named =
        cursor.source === 'access'
          ? await withNames(this.#parts.database.kind, this.#parts.database.read, wanted)
          : wanted;
      rows.push(...named.map((each) => auditRowOf(this.#parts, each)));
      seq = next.seq;
    }
    return { rows, seq };
  }

  /** What follows the cursor, and how far it goes. */
  async #next(
    { source, ...cursor }: DiagnosticCursor,
    registryUid: string,
    lastSeq: number,
  ): Promise<{ records: readonly AuditRecord[]; seq: number }> {
    const { database, journal } = this.#parts;
    if (source === 'journal') {
      const events = await journal.after(cursor, Math.min(eventsAtOnce, lastSeq - cursor.seq));
      return { records: events.map(recordOfEvent), seq: events.at(-1)?.seq ?? cursor.seq };
    }
    const batch = await database.read
      .selectFrom('access_batches')
      .select(['seq', 'bytes'])
      .where('stream', '=', cursor.stream)
      .where('seq', '>', cursor.seq)
      .orderBy('seq')
      .limit(1)
      .executeTakeFirst();
    if (batch === undefined) return { records: [], seq: cursor.seq };
    // The other registries' lines, which may be all of them, are not read as records.
    const needles = [JSON.stringify(registryUid)];
    return { records: recordsOfBatch({ stream: cursor.stream, ...batch }, needles), seq: batch.seq };
  }
}

/** Undefined when everything was taken. */
async function refusalOf(writing: Promise<void>): Promise<LineRefused | undefined> {
  try {
    await writing;
    return undefined;
  } catch (error) {
    if (error instanceof LineRefused) return error;
    throw error;
  }
}

/**
 * Letters, digits, dots and hyphens: it may be the name of a file. Sorts by time within a stream. Neither another setting, nor
 * the setting before it was changed, nor a run that has come to more, has the same.
 */
function nameOf(
  { uid, registry_uid, changed_at }: DiagnosticRow,
  { source, stream, incarnation, seq }: DiagnosticCursor,
  lastSeq: number,
): string {
  const place = [
    source,
    ...stream.split('/').filter((part) => part !== registry_uid && part !== 'registry'),
    incarnation,
  ];
  const [from, to] = [seq + 1, lastSeq].map((each) => String(each).padStart(12, '0'));
  return ['logs', registry_uid, uid, String(changed_at), ...place, `${from}-${to}`]
    .filter((part) => part !== '')
    .join('.')
    .toLowerCase()
    .replaceAll(/[^a-z0-9.-]/g, '-');
}
