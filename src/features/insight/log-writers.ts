import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { StoreAddress } from '../../platform/blob-store/store-address.ts';
import type { StoreNotes } from '../../platform/blob-store/store-notes.ts';
import type { JobRun } from '../../platform/jobs/jobs.ts';
import { makeFolder } from '../../platform/make-folder.ts';
import type { Outbound } from '../../platform/outbound/outbound.ts';
import type { AuditRow } from '../../wire/events/audit-schema.ts';
import type { LogDestination } from './log-destination.ts';

/** Lines that belong together. What has the same name has the same lines: a store may put one in the place of the other. */
export type LogBatch = { readonly name: string; readonly rows: readonly AuditRow[] };

/** `renew` is called while a batch takes long. */
export type LogSending = Pick<JobRun, 'signal' | 'renew'>;

/** Takes a batch: durable, or accepted by whoever it is for, when it resolves. Throws with the reason; LineRefused, where it is a line. */
export type LogWriter = (batch: LogBatch, sending: LogSending) => Promise<void>;

export type LogWriterParts = {
  readonly outbound: Pick<Outbound, 'call'>;
  readonly tokens: ReadonlyMap<string, string>;
  readonly notesAt: (address: StoreAddress) => Promise<StoreNotes>;
};

/** The destination answered, and does not want the line behind the first `taken` ones of the batch: others it may take. */
export class LineRefused extends Error {
  readonly taken: number;

  constructor(message: string, taken: number) {
    super(message);
    this.taken = taken;
  }
}

/** 4xx that speak of who asks, where, or how often, and not of the lines. */
const notOfLines = [401, 403, 404, 407, 408, 425, 429];

const answerTimeoutMs = 30_000;
const bytesPerPost = 900_000;
const linesPerPost = 500;
const bytesPerWrite = 65_536;
const halfLineMs = 50;

/** What writes to each destination, by its name. */
export async function logWriters(
  parts: LogWriterParts,
  destinations: readonly LogDestination[],
): Promise<ReadonlyMap<string, LogWriter>> {
  const writers = new Map<string, LogWriter>();
  for (const destination of destinations) writers.set(destination.name, await writerTo(parts, destination));
  return writers;
}

async function writerTo(
  { outbound, tokens, notesAt }: LogWriterParts,
  destination: LogDestination,
): Promise<LogWriter> {
  switch (destination.kind) {
    case 'file':
      return async ({ rows }) => await appendLines(destination.path, rows);
    case 'http': {
      const token = tokens.get(destination.name);
      const credentials = token === undefined ? {} : { authorization: `Bearer ${token}` };
      return async ({ rows }, sending) => await postAll({ outbound, url: destination.url, credentials, sending }, rows);
    }
    case 'store': {
      const notes = await notesAt(destination.address);
      return async ({ name, rows }) => await notes.put(`${name}.jsonl`, Buffer.from(linesOf(rows)));
    }
  }
}

function linesOf(rows: readonly AuditRow[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}

/**
 * Opened anew for each batch, so that a file which was moved away begins again. Others, in other processes too, append to it
 * meanwhile: lines that are one write at the end of the file are not mixed with theirs.
 */
async function appendLines(path: string, rows: readonly AuditRow[]): Promise<void> {
  makeFolder(dirname(path));
  await using file = await open(path, 'a+', 0o600);
  const groups = groupsOf(
    rows.map((row) => `${JSON.stringify(row)}\n`),
    { bytes: bytesPerWrite, lines: Number.POSITIVE_INFINITY },
  );
  let isTorn = await endsInHalfLine(file);
  for (const group of groups) {
    const bytes = Buffer.from(`${isTorn ? '\n' : ''}${group.join('')}`);
    const { bytesWritten } = await file.write(bytes);
    if (bytesWritten < bytes.byteLength) throw new Error('the file took a part of the lines only');
    isTorn = false;
  }
  await file.datasync();
}

/** What a crash left stays one line. What another is just writing is longer, or whole, at the second look. */
async function endsInHalfLine(file: FileHandle): Promise<boolean> {
  const before = await endOf(file);
  if (before.isWhole) return false;
  await delay(halfLineMs);
  const after = await endOf(file);
  return !after.isWhole && after.size === before.size;
}

async function endOf(file: FileHandle): Promise<{ readonly size: number; readonly isWhole: boolean }> {
  const { size } = await file.stat();
  if (size === 0) return { size, isWhole: true };
  const last = Buffer.alloc(1);
  await file.read(last, 0, 1, size - 1);
  return { size, isWhole: last.toString() === '\n' };
}

/** In order, as many in a group as the limits allow, and one at least. */
function groupsOf(lines: readonly string[], most: { readonly bytes: number; readonly lines: number }): string[][] {
  const groups: string[][] = [];
  let room = 0;
  for (const line of lines) {
    const group = groups.at(-1);
    room -= Buffer.byteLength(line);
    if (group !== undefined && room >= 0 && group.length < most.lines) group.push(line);
    else {
      groups.push([line]);
      room = most.bytes - Buffer.byteLength(line);
    }
  }
  return groups;
}

type Posting = {
  readonly outbound: Pick<Outbound, 'call'>;
  readonly url: string;
  readonly credentials: Readonly<Record<string, string>>;
  readonly sending: LogSending;
};

/** As Azure Monitor's collectors take records: a megabyte at once. Whoever refuses them is sent half of them, down to the line that it means. */
async function postAll(posting: Posting, rows: readonly AuditRow[]): Promise<void> {
  const waiting = groupsOf(
    rows.map((row) => JSON.stringify(row)),
    { bytes: bytesPerPost, lines: linesPerPost },
  );
  let taken = 0;
  for (let lines = waiting.shift(); lines !== undefined; lines = waiting.shift()) {
    const status = await post(posting, lines);
    if (status >= 200 && status < 300) taken += lines.length;
    else if (!isRefusal(status)) throw new Error(`the destination answered ${status}`);
    else if (lines.length === 1) throw new LineRefused(`the destination answered ${status}`, taken);
    else {
      const middle = Math.ceil(lines.length / 2);
      waiting.unshift(lines.slice(0, middle), lines.slice(middle));
    }
    await posting.sending.renew();
  }
}

function isRefusal(status: number): boolean {
  return status >= 400 && status < 500 && !notOfLines.includes(status);
}

async function post({ outbound, url, credentials, sending }: Posting, lines: readonly string[]): Promise<number> {
  const answer = await outbound.call({
    url,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    credentials,
    body: `{"records":[${lines.join(',')}]}`,
    maxBytes: Number.MAX_SAFE_INTEGER,
    timeoutMs: answerTimeoutMs,
    maxRedirects: 0,
    signal: sending.signal,
  });
  await answer.discard();
  return answer.status;
}
