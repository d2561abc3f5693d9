import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Access } from '../../platform/access-log/access-log.ts';
import { sampledPulls } from './sampled-pulls.ts';

const common = { identity: 'victor', address: '192.0.2.9', correlationId: 'c', status: 200 } as const;

for (const [oneOf, pulls] of [
  [0, 0],
  [1, 10],
  [3, 3],
] as const)
  test(`one pull of ${oneOf} is noted, and every denial`, () => {
    const noted: Access[] = [];
    const log = { record: (access: Access) => void noted.push(access), flush: async () => {}, close: async () => {} };
    const sampled = sampledPulls(log, oneOf);
    for (let round = 0; round < 10; round += 1) {
      sampled.record({ ...common, kind: 'pull' });
      sampled.record({ ...common, kind: 'denial', status: 403 });
    }
    const of = (kind: Access['kind']) => noted.filter((access) => access.kind === kind);
    assert.deepEqual([of('pull').length, of('denial').length], [pulls, 10]);
    if (oneOf > 1) assert.partialDeepStrictEqual(of('pull')[0], { times: oneOf });
  });
