import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BerthError, type ErrorRow, errorCatalogue } from './errors.ts';

const rows: readonly [name: string, row: ErrorRow][] = Object.entries(errorCatalogue);

/** What each code may be answered with: a client acts on the pair. */
const statusesOfCode: Readonly<Record<string, readonly number[]>> = {
  BLOB_UNKNOWN: [404],
  BLOB_UPLOAD_UNKNOWN: [404],
  BLOB_UPLOAD_INVALID: [400, 408, 409, 416],
  DIGEST_INVALID: [400],
  SIZE_INVALID: [400, 413],
  MANIFEST_UNKNOWN: [404],
  MANIFEST_BLOB_UNKNOWN: [400, 404],
  MANIFEST_INVALID: [400, 413],
  NAME_INVALID: [400],
  NAME_UNKNOWN: [404, 421],
  TAG_INVALID: [400],
  TAG_UNKNOWN: [404],
  PAGINATION_NUMBER_INVALID: [400, 404],
  REGISTRY_DISALLOWED_OPERATION: [405],
  UNAUTHORIZED: [401],
  DENIED: [403, 405],
  UNSUPPORTED: [405],
  TOOMANYREQUESTS: [429],
  NOT_FOUND: [404],
  BAD_REQUEST: [400, 431],
  CONFLICT: [409, 412],
  UNAVAILABLE: [503, 507],
  LEASE_LOST: [410],
  RANGE_INVALID: [416],
  UNKNOWN: [500],
};

for (const [name, { code, status, message, remedy }] of rows) {
  test(`catalogue: ${name}`, () => {
    assert.match(code, /^[A-Z][A-Z_]*[A-Z]$/);
    assert(statusesOfCode[code]?.includes(status), `${code} is not answered with ${status}`);
    assert.match(message, /^[A-Za-z][^\n]{5,100}[^.\s]$/, 'the message is a clause without a full stop');
    assert.match(remedy, /^[A-Z][^\n]{10,150}\.$/, 'the remedy is a sentence');
    assert.notEqual(message, remedy);
  });
}

test('no two rows say the same', () => {
  const messages = rows.map(([, { message }]) => message);
  assert.deepEqual(messages, [...new Set(messages)]);
});

test('only faults of the server are 5xx', () => {
  const faults = rows.filter(([, { status }]) => status >= 500).map(([name]) => name);
  assert.deepEqual(faults, [
    'busy',
    'stopping',
    'storageFull',
    'storageReadOnly',
    'memoryShort',
    'storeAway',
    'hookQueueFull',
    'internal',
  ]);
});

test('an error keeps its row, detail, cause and time to wait', () => {
  const cause = new Error('below');
  const error = new BerthError('busy', { at: 'x' }, { cause, retryAfterSeconds: 2 });
  assert(error instanceof Error);
  assert.equal(error.name, 'BerthError');
  assert.equal(error.error, 'busy');
  assert.equal(error.message, errorCatalogue.busy.message);
  assert.deepEqual(error.detail, { at: 'x' });
  assert.equal(error.cause, cause);
  assert.equal(error.retryAfterSeconds, 2);
});
