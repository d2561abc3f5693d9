import assert from 'node:assert/strict';
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { z } from 'zod';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import type { OutboundRequest } from '../../platform/outbound/outbound.ts';
import { type AuditRow, auditRowSchema } from '../../wire/events/audit-schema.ts';
import { recordOfAccess } from './audit-record.ts';
import { auditRowOf } from './audit-row.ts';
import { LineRefused, type LogBatch, logWriters } from './log-writers.ts';

const sending = { signal: new AbortController().signal, renew: async () => {} };

const recordsSchema = z.object({ records: z.array(auditRowSchema) });

function rowOf(tag: string): AuditRow {
  const line = JSON.stringify({ at: 1, kind: 'pull', repository: 'app', tag, userAgent: 'x'.repeat(300) });
  return auditRowOf({ directory: { byUid: () => undefined }, tenantId: '' }, recordOfAccess(line, tag));
}

function batchOf(name: string, count: number): LogBatch {
  return { name, rows: Array.from({ length: count }, (_, at) => rowOf(`${name}-${at}`)) };
}

/** As another process has them: nothing is shared but the file. */
async function writerTo(path: string) {
  const outbound = { call: () => Promise.reject(new Error('no way out')) };
  const notesAt = () => assert.fail('no store');
  const writers = await logWriters({ outbound, tokens: new Map(), notesAt }, [{ name: 'disk', kind: 'file', path }]);
  const write = writers.get('disk');
  assert(write);
  return write;
}

function linesIn(path: string): string[] {
  return readFileSync(path, 'utf8').split('\n').slice(0, -1);
}

test('what several write to one file at once stays whole lines', async () => {
  const folder = temporaryFolder('log-writers');
  const path = join(folder.path, 'logs/all.jsonl');
  const writers = [await writerTo(path), await writerTo(path)];
  for (let round = 0; round < 3; round += 1)
    await Promise.all(
      ['a', 'b', 'c', 'd'].map((name, at) => writers[at % 2]?.(batchOf(`${name}${round}`, 2_000), sending)),
    );
  const tags = linesIn(path)
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line).Tag);
  assert.equal(new Set(tags).size, 24_000);
  folder.remove();
});

test('what a crash left of a line is no part of the next', async () => {
  const folder = temporaryFolder('log-writers');
  const path = join(folder.path, 'all.jsonl');
  appendFileSync(path, '{"half":');
  const write = await writerTo(path);
  await write(batchOf('a', 1), sending);
  const [half, line = ''] = linesIn(path);
  assert.equal(half, '{"half":');
  assert.equal(JSON.parse(line).Tag, 'a-0');
  folder.remove();
});

test('an address gets as much at once as it takes', async () => {
  const sizes: number[] = [];
  const tags: string[] = [];
  const call = async ({ url, body = '' }: OutboundRequest) => {
    assert(typeof body === 'string');
    const { records } = recordsSchema.parse(JSON.parse(body));
    const status = records.length > 200 ? 413 : 204;
    sizes.push(records.length);
    if (status === 204) tags.push(...records.map(({ Tag }) => Tag));
    return { url, status, headers: new Map(), body: Readable.from([]), discard: async () => {} };
  };
  const notesAt = () => assert.fail('no store');
  const destination = { name: 'siem', kind: 'http', url: 'https://siem.example/' } as const;
  const batch = batchOf('a', 1_200);
  const writers = await logWriters({ outbound: { call }, tokens: new Map(), notesAt }, [destination]);
  await writers.get('siem')?.(batch, sending);
  assert(sizes.every((size) => size <= 500));
  assert.deepEqual(
    tags,
    batch.rows.map(({ Tag }) => Tag),
  );
});

test('an address that refuses a line is told apart from one that fails, or lets nobody in', async () => {
  const notesAt = () => assert.fail('no store');
  const destination = { name: 'siem', kind: 'http', url: 'https://siem.example/' } as const;
  for (const [status, isRefusal] of [
    [400, true],
    [413, true],
    [422, true],
    [401, false],
    [404, false],
    [429, false],
    [503, false],
  ] as const) {
    const call = async ({ url }: OutboundRequest) => ({
      url,
      status,
      headers: new Map(),
      body: Readable.from([]),
      discard: async () => {},
    });
    const writers = await logWriters({ outbound: { call }, tokens: new Map(), notesAt }, [destination]);
    const error = await writers
      .get('siem')?.(batchOf('a', 1), sending)
      .catch((reason: unknown) => reason);
    assert(error instanceof Error);
    assert.equal(error instanceof LineRefused, isRefusal, String(status));
  }
});

test('of what an address refuses, the line that it means is found, and what came before it is not sent again', async () => {
  const tags: string[] = [];
  const call = async ({ url, body = '' }: OutboundRequest) => {
    assert(typeof body === 'string');
    const { records } = recordsSchema.parse(JSON.parse(body));
    const status = records.some(({ Tag }) => Tag === 'a-777') ? 400 : 204;
    if (status === 204) tags.push(...records.map(({ Tag }) => Tag));
    return { url, status, headers: new Map(), body: Readable.from([]), discard: async () => {} };
  };
  const notesAt = () => assert.fail('no store');
  const destination = { name: 'siem', kind: 'http', url: 'https://siem.example/' } as const;
  const writers = await logWriters({ outbound: { call }, tokens: new Map(), notesAt }, [destination]);
  const batch = batchOf('a', 1_200);
  const error = await writers
    .get('siem')?.(batch, sending)
    .catch((reason: unknown) => reason);
  assert(error instanceof LineRefused);
  assert.equal(error.taken, 777);
  assert.deepEqual(
    tags,
    batch.rows.slice(0, 777).map(({ Tag }) => Tag),
  );
});
