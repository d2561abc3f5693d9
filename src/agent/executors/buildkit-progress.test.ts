import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BuildKitProgress } from './buildkit-progress.ts';

const began = '2026-01-01T00:00:00.000Z';
const at = (seconds: number) => new Date(Date.parse(began) + seconds * 1000).toISOString();
const log = (vertex: string, text: string, seconds = 0.25) => ({
  logs: [{ vertex, stream: 1, data: Buffer.from(text).toString('base64'), timestamp: at(seconds) }],
});
const vertex = (digest: string, name: string, more: Readonly<Record<string, unknown>> = {}) => ({
  vertexes: [{ digest, name, started: began, ...more }],
});

function shown(...statuses: readonly unknown[]): { readonly text: string; readonly progress: BuildKitProgress } {
  const progress = new BuildKitProgress();
  const bytes = Buffer.from(
    statuses.map((each) => (typeof each === 'string' ? each : `${JSON.stringify(each)}\n`)).join(''),
  );
  // Cut anywhere, also within a character.
  const pieces = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, index) =>
    bytes.subarray(index * 7, index * 7 + 7),
  );
  return { text: `${pieces.map((piece) => progress.add(piece)).join('')}${progress.end()}`, progress };
}

test('lines of steps that go on side by side, each whole, with the time since its step began', () => {
  const { text } = shown(
    vertex('a', '[1/2] FROM r.test/base:1'),
    vertex('b', '[2/2] RUN make'),
    log('b', 'first\nsec'),
    log('a', 'pulled\n'),
    log('b', 'ond ä\r\nrest', 1.5),
    vertex('a', '[1/2] FROM r.test/base:1', { completed: at(2), cached: true }),
    vertex('b', '[2/2] RUN make', { completed: at(3) }),
    vertex('b', '[2/2] RUN make', { completed: at(3) }),
  );
  assert.equal(
    text,
    [
      ...['#1 [1/2] FROM r.test/base:1', '', '#2 [2/2] RUN make', '#2 0.250 first', '', '#1 0.250 pulled', ''],
      ...['#2 1.500 second ä', '', '#1 CACHED', '', '#2 rest', '#2 DONE 3.0s', ''],
    ].join('\n'),
  );
});

test('the code of the command that failed, the digests of images, and what buildctl says itself', () => {
  const digest = `sha256:${'a'.repeat(64)}`;
  const error = 'process "/bin/sh -c exit 7" did not complete successfully: exit code: 7';
  const { text, progress } = shown(
    vertex('a', `[build 1/2] FROM r.test/base:1@${digest}`),
    vertex('b', '[2/2] RUN exit 7', { completed: at(1), error }),
    'error: failed to solve\n',
    '{ no JSON\n',
    'cut off',
  );
  assert.equal(progress.exitCode, 7);
  assert.deepEqual([...progress.resolved], [['r.test/base:1', digest]]);
  assert.match(text, /#2 ERROR: process .* exit code: 7\nerror: failed to solve\n\{ no JSON\ncut off\n$/);
});
