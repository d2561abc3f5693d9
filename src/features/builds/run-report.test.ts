import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keptReport } from './run-report.ts';

const image = (tag: string) => ({ registry: 'contoso.berth.test', repository: 'app', tag, digest: 'sha256:0a' });
const reference = (tag: string) => ({ registry: 'docker.io', repository: 'node', tag, reference: `node:${tag}` });

test('what a run usually reports is kept whole', () => {
  const images = Array.from({ length: 100 }, (_each, at) => image(`v${at}`));
  const dependencies = images.map(({ tag }) => ({ runtime: reference(tag), buildtime: [reference('24')] }));
  assert.deepEqual(keptReport({ images, dependencies }), { images, dependencies });
});

test('a report without measure is cut: images stay before what they stand on', () => {
  const buildtime = Array.from({ length: 1_000 }, (_each, at) => reference(`${at}${'x'.repeat(1_000)}`));
  const small = { runtime: reference('24'), buildtime: [] };
  const images = Array.from({ length: 1_000 }, (_each, at) => image(`v${at}`));
  const kept = keptReport({ images, dependencies: [{ buildtime }, small, { buildtime }] });
  assert.deepEqual(kept, { images, dependencies: [small] });
  const long = Array.from({ length: 1_000 }, (_each, at) => image(`${at}${'y'.repeat(2_000)}`));
  const cut = keptReport({ images: long, dependencies: [] });
  assert(cut.images.length > 200 && cut.images.length < 300, `${cut.images.length}`);
});
