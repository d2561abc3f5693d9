import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { StoreAddress } from '../../platform/blob-store/store-address.ts';
import type { StoreNotes } from '../../platform/blob-store/store-notes.ts';
import { makeFolder } from '../../platform/make-folder.ts';
import type { Outbound } from '../../platform/outbound/outbound.ts';
import type { AuditRow } from '../../wire/events/audit-schema.ts';
import type { LogDestination } from './log-destination.ts';

/** Lines that belong together. What has the same name has the same lines: a store may put one in the place of the other. */
export type LogBatch = { readonly name: string; readonly rows: readonly AuditRow[] };

/** Takes a batch: durable, or accepted by whoever it is for, when it resolves. Throws with the reason. */
export type LogWriter = (batch: LogBatch, signal: AbortSignal) => Promise<void>;

export type LogWriterParts = {
  readonly outbound: Pick<Outbound, 'call'>;
  readonly tokens: ReadonlyMap<string, string>;
  readonly notesAt: (address: StoreAddress) => StoreNotes;
};

const answerTimeoutMs = 30_000;

/** What writes to each destination, by its name. */
export function logWriters(
  parts: LogWriterParts,
  destinations: readonly LogDestination[],
): ReadonlyMap<string, LogWriter> {
  return new Map(destinations.map((destination) => [destination.name, writerTo(parts, destination)]));
}

function writerTo({ outbound, tokens, notesAt }: LogWriterParts, destination: LogDestination): LogWriter {
  switch (destination.kind) {
    case 'file':
      return async ({ rows }) => await appendLines(destination.path, linesOf(rows));
    case 'http': {
      const token = tokens.get(destination.name);
      const credentials = token === undefined ? {} : { authorization: `Bearer ${token}` };
      return async ({ rows }, signal) => await post(outbound, { url: destination.url, credentials, rows, signal });
    }
    case 'store': {
      const notes = notesAt(destination.address);
      return async ({ name, rows }) => await notes.put(`${name}.jsonl`, Buffer.from(linesOf(rows)));
    }
  }
}

function linesOf(rows: readonly AuditRow[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}

/** Opened anew for each batch, so that a file which was moved away begins again. What a crash left of a line stays one line. */
async function appendLines(path: string, lines: string): Promise<void> {
  makeFolder(dirname(path));
  await using file = await open(path, 'a+', 0o600);
  const { size } = await file.stat();
  const last = Buffer.alloc(1);
  if (size > 0) await file.read(last, 0, 1, size - 1);
  const isWhole = size === 0 || last.toString() === '\n';
  await file.appendFile(isWhole ? lines : `\n${lines}`);
  await file.datasync();
}

type Post = {
  readonly url: string;
  readonly credentials: Readonly<Record<string, string>>;
  readonly rows: readonly AuditRow[];
  readonly signal: AbortSignal;
};

/** As Azure Monitor's collectors take records. */
async function post(outbound: Pick<Outbound, 'call'>, { url, credentials, rows, signal }: Post): Promise<void> {
  const answer = await outbound.call({
    url,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    credentials,
    body: JSON.stringify({ records: rows }),
    maxBytes: Number.MAX_SAFE_INTEGER,
    timeoutMs: answerTimeoutMs,
    maxRedirects: 0,
    signal,
  });
  await answer.discard();
  if (answer.status < 200 || answer.status >= 300) throw new Error(`the destination answered ${answer.status}`);
}
