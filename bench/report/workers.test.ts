import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunResult, SequenceResult } from '../run-scenarios.ts';
import { workersTable } from './workers.ts';

function run(perSecond: number): RunResult {
  return {
    seconds: 1,
    requests: perSecond,
    failed: 0,
    errors: {},
    latencyMs: { p50: 1, p90: 1, p99: 1, max: 1 },
    stepsMs: {},
    payloadBytes: 0,
    clientCpuSeconds: 0,
  };
}

function result(name: string, perSecond: Readonly<Record<string, number>>): SequenceResult {
  const runs = new Map(Object.entries(perSecond).map(([server, rate]) => [server, [run(rate)]]));
  return { sequence: { name, clients: 1 }, runs, missing: new Map() };
}

test('workers are compared with one process, sequence by sequence and in one line', () => {
  const results = [
    result('Pull 1MB', { berth: 100, 'berth-2-workers': 150 }),
    result('Push 1MB', { berth: 100, 'berth-2-workers': 90 }),
    result('Tag list page', { berth: 100, 'berth-2-workers': 110 }),
    result('Not there', { berth: 100 }),
  ];
  assert.equal(
    workersTable(results),
    [
      '2 workers against 1',
      '  Pull 1MB       1.50x',
      '  Push 1MB       0.90x',
      '  Tag list page  1.10x',
      '2 workers against 1: 1.10x in the middle of 3 sequences, 0.90x to 1.50x',
      '',
    ].join('\n'),
  );
});

test('without workers there is nothing to say', () => {
  assert.equal(workersTable([result('Pull 1MB', { berth: 100, zot: 50 })]), '');
});
