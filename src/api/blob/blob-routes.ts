import { type Context, Hono } from 'hono';
import { BerthError } from '../../core/errors.ts';
import { type BlobAddresses, blobContainer } from '../../features/builds/blob-addresses.ts';
import type { Contexts } from '../../features/builds/contexts.ts';
import type { LogFollowers } from '../../features/builds/log-followers.ts';
import type { RunStatus } from '../../features/builds/run.ts';
import type { RunLog, RunLogs } from '../../features/builds/run-logs.ts';
import type { ByteRange } from '../../platform/blob-store/blob-store.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Env } from '../middleware/env.ts';
import { bodyIn, bytesIn, sendBlob, type TransferLimits } from '../middleware/streams.ts';
import { parseBlockList } from './block-list.ts';

export type BlobRouteParts = {
  readonly builds: {
    readonly contexts: Contexts;
    readonly logs: RunLogs;
    readonly logFollowers: LogFollowers;
    readonly addresses: BlobAddresses;
  };
  readonly transfer: TransferLimits;
  readonly clock: Clock;
};

const maxListBytes = 1024 * 1024;
const conditions = ['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since'] as const;

/** How the client knows that a log has ended, and how. Source: az wire document, 4.2. */
const completions: Partial<Record<RunStatus, string>> = {
  Succeeded: 'successful',
  Failed: 'failed',
  Error: 'internalerror',
  Timeout: 'timedout',
  Canceled: 'canceled',
};

/**
 * Signed addresses in the form of Azure Storage: files for a run go in, logs come out. The signature is all that is asked of
 * whoever comes. Source: az wire document, section 4.
 */
export function blobRoutes(parts: BlobRouteParts): Hono<Env> {
  const routes = new Hono<Env>();
  routes.all(`/${blobContainer}/source/*`, async (c) => {
    if (c.req.method !== 'PUT') throw new BerthError('unsupported');
    parts.builds.addresses.verify(c.req.path, queryOf(c), 'cw');
    return await write(parts, c, c.req.path.slice(`/${blobContainer}/`.length));
  });
  routes.all(`/${blobContainer}/logs/:registry/:file`, async (c) => {
    if (c.req.method !== 'GET' && c.req.method !== 'HEAD') throw new BerthError('unsupported');
    parts.builds.addresses.verify(c.req.path, queryOf(c), 'r');
    const runId = c.req.param('file').replace(/\.log$/, '');
    const find = () => parts.builds.logs.find(c.req.param('registry'), runId);
    const log = c.req.method === 'HEAD' ? await withNews(parts, c, find) : await find();
    if (log === undefined) throw new BerthError('blobAddressUnknown');
    return c.req.method === 'HEAD' ? c.body(null, 200, headersOf(log)) : await sendLog(parts, c, log);
  });
  return routes;
}

/** Put Blob, Put Block, Put Block List. */
async function write({ builds, transfer, clock }: BlobRouteParts, c: Context<Env>, path: string): Promise<Response> {
  const body = bodyIn(c, transfer);
  const query = queryOf(c);
  const comp = query.get('comp');
  switch (comp) {
    case null:
      if (c.req.header('x-ms-blob-type')?.toLowerCase() !== 'blockblob')
        throw new BerthError('blobRequestInvalid', 'x-ms-blob-type is not BlockBlob');
      await builds.contexts.put(path, body);
      break;
    case 'block':
      await builds.contexts.putBlock(path, blockIdOf(query.get('blockid')), body);
      break;
    case 'blocklist': {
      const bytes = await bytesIn(body, maxListBytes, () => new BerthError('bodyTooLarge'));
      await builds.contexts.commit(path, parseBlockList(Buffer.from(bytes).toString()));
      break;
    }
    default:
      throw new BerthError('blobRequestInvalid', 'comp is neither block nor blocklist');
  }
  const nowMicros = clock.nowMicros();
  return c.body(null, 201, {
    ETag: etagOf(nowMicros),
    'Last-Modified': new Date(nowMicros / 1000).toUTCString(),
    'x-ms-request-server-encrypted': 'false',
    'Content-Length': '0',
  });
}

function blockIdOf(text: string | null): string {
  if (text !== null && /^[A-Za-z0-9+/=_%-]{1,100}$/.test(text)) return text;
  throw new BerthError('blobRequestInvalid', 'the id of the block is not base64 of at most 64 bytes');
}

/**
 * Held for whoever was sent all that there is, until there is more; answered at once where a condition is asked for, and for
 * all but Azure's libraries for Python, which `az` has: others ask by a timer, such as extensions of editors.
 */
async function withNews(
  { builds }: BlobRouteParts,
  c: Context<Env>,
  find: () => Promise<RunLog | undefined>,
): Promise<RunLog | undefined> {
  const follower = followerOf(c);
  const isConditional = conditions.some((name) => c.req.header(name) !== undefined);
  if (follower === undefined || isConditional || !asksInTurn(c)) return await find();
  return await builds.logFollowers.next(find, follower, c.req.raw.signal);
}

/** As the libraries name themselves: `Azure-Storage/2.0.0-2.0.0 (Python CPython 3.11…`, `azsdk-python-storage-blob/12.16.0 Python/3.11…`. */
function asksInTurn(c: Context<Env>): boolean {
  return /^Azure-Storage\/\S+ \(Python |azsdk-python-storage-blob\//.test(c.req.header('user-agent') ?? '');
}

/** The id of the address; undefined for one that was given out before addresses had ids. */
function followerOf(c: Context<Env>): string | undefined {
  const id = queryOf(c).get('scid') ?? '';
  return /^[0-9a-f-]{36}$/i.test(id) ? id : undefined;
}

async function sendLog({ builds, transfer }: BlobRouteParts, c: Context<Env>, log: RunLog): Promise<Response> {
  const asked = c.req.header('x-ms-range') ?? c.req.header('range');
  const range = asked === undefined ? undefined : rangeOf(asked, log.sizeBytes);
  const { start, end } = range ?? { start: 0, end: log.sizeBytes };
  const headers = { ...headersOf(log), 'Content-Length': String(end - start) };
  const follower = followerOf(c);
  // Before it is sent: its next question may come before this has heard that all of it was taken.
  const takeBack = follower === undefined ? () => {} : builds.logFollowers.noteSent(log, follower, end);
  const part = { 'Content-Range': `bytes ${start}-${end - 1}/${log.sizeBytes}` };
  return await sendBlob(
    c,
    {
      status: range === undefined ? 200 : 206,
      headers: range === undefined ? headers : { ...headers, ...part },
      bytes: untilCut(builds.logs.read(log, { start, end }), takeBack),
    },
    transfer,
  );
}

/** Tells when it is left before its end. */
async function* untilCut(bytes: AsyncIterable<Uint8Array>, tell: () => void): AsyncGenerator<Uint8Array> {
  let isWhole = false;
  try {
    yield* bytes;
    isWhole = true;
  } finally {
    if (!isWhole) tell();
  }
}

/** One range of bytes, both ends inclusive. Throws `blobRangeInvalid`. */
function rangeOf(text: string, sizeBytes: number): ByteRange {
  const [, first, last = ''] = /^bytes=(\d{1,15})-(\d{0,15})$/.exec(text.trim()) ?? [];
  if (first === undefined) throw new BerthError('blobRangeInvalid');
  const start = Number(first);
  const end = last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
  if (start >= end) throw new BerthError('blobRangeInvalid');
  return { start, end };
}

/** The mark of the end stands beside the length of the whole: whoever sees it can read everything. */
function headersOf({ sizeBytes, changedAtMicros, status }: RunLog): Record<string, string> {
  const completion = status && completions[status];
  return {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': String(sizeBytes),
    'Accept-Ranges': 'bytes',
    ETag: etagOf(changedAtMicros),
    'Last-Modified': new Date(changedAtMicros / 1000).toUTCString(),
    'Cache-Control': 'no-store',
    'Content-Disposition': 'attachment',
    'x-ms-blob-type': 'AppendBlob',
    ...(completion === undefined ? {} : { 'x-ms-meta-Complete': completion }),
  };
}

/** Of what was changed then. */
function etagOf(micros: number): string {
  return `"0x${micros.toString(16).toUpperCase()}"`;
}

function queryOf(c: Context<Env>): URLSearchParams {
  return new URL(c.req.url).searchParams;
}
