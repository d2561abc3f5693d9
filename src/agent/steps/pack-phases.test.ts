import assert from 'node:assert/strict';
import { test } from 'node:test';
import { phases, wholeLifecycle } from './pack-phases.ts';

const tags = ['r.example/app:v1', 'r.example/app:latest'];
const asked = { runImage: 'r.example/run:v1', process: 'web' };

test('each phase is told what it needs, and those that run buildpacks have no credentials', () => {
  const told = phases.map((phase) => [phase.program, phase.isConnected, phase.words(asked, tags).join(' ')]);
  assert.deepEqual(told, [
    ['analyzer', true, '-layers=/layers -run-image=r.example/run:v1 -tag=r.example/app:latest r.example/app:v1'],
    ['detector', false, '-app=/workspace -layers=/layers -platform=/platform'],
    ['restorer', true, '-layers=/layers'],
    ['builder', false, '-app=/workspace -layers=/layers -platform=/platform'],
    [
      ...['exporter', true],
      '-app=/workspace -layers=/layers -report=/layers/report.toml -process-type=web r.example/app:v1 r.example/app:latest',
    ],
  ]);
  const nothing = { runImage: undefined, process: undefined };
  assert.deepEqual(wholeLifecycle.words(nothing, tags.slice(0, 1)), [
    ...['-app=/workspace', '-layers=/layers', '-platform=/platform', '-report=/layers/report.toml', 'r.example/app:v1'],
  ]);
});
