import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageWatch } from '../../bench/server-usage.ts';
import { asInstalled } from '../support/as-installed.ts';
import { startBerth } from '../support/berth-server.ts';
import { BusyBuilds } from './busy-builds.ts';
import { count } from './length.ts';
import { ManifestReaders } from './manifest-readers.ts';
import { readInTurn } from './read-in-turn.ts';

const mebibyte = 1024 * 1024;
const clients = 64;
const builds = 2;
const cpus = 1;
const memoryMiB = 256;
const heldBytes = 64 * mebibyte;
const pairs = count(21, 61);
const sliceMs = count(400, 2_000);
const maxServerMiB = 300;
const maxRatio = 2;
/** The kernel counts a quota by periods of 0.1 s, which slices do not begin with. */
const quotaSlack = 1.2;
/** What else the machine does touches both sides, and not always alike. */
const tries = 3;

test(`L-18: beside ${builds} builds that never rest manifest GETs are at most twice as slow, each in its own limits`, async (t) => {
  await using server = await startBerth({ settings: { 'build-memory': `${memoryMiB}MiB` }, env: asInstalled });
  using readers = await ManifestReaders.begin(server, clients);
  await using busy = await BusyBuilds.begin(server, { count: builds, cpus, heldBytes });
  await readers.read(2_000);

  const watch = new UsageWatch(server.pid, { hasChildren: false });
  const [workedBefore, before] = [busy.workedSeconds(), busy.usages()];
  const ratios: number[] = [];
  while (ratios.length < tries && !ratios.some((ratio) => ratio <= maxRatio)) {
    const { ratio, alone, beside } = await readInTurn(readers, busy, { pairs, sliceMs });
    ratios.push(ratio);
    t.diagnostic(
      `p99 ${alone.p99.toFixed(1)} ms alone, ${beside.p99.toFixed(1)} ms beside builds: ${ratio.toFixed(2)} times; ` +
        `${Math.round(alone.perSecond)} and ${Math.round(beside.perSecond)} a second`,
    );
  }
  const serverMiB = watch.stop().peakRssBytes / mebibyte;
  const [used, seconds] = [busy.usages(), busy.workedSeconds() - workedBefore];
  t.diagnostic(`${Math.round(serverMiB)} MiB resident`);

  assert.ok(serverMiB <= maxServerMiB, `${serverMiB} MiB resident`);
  assert.equal(used.length, builds);
  for (const [index, usage] of used.entries()) {
    assert.equal(usage.cpus, cpus);
    assert.equal(usage.memoryBytes, memoryMiB * mebibyte);
    assert.ok(usage.peakMemoryBytes > heldBytes, 'what a build holds counts for it');
    assert.ok(usage.peakMemoryBytes <= usage.memoryBytes);
    const spent = usage.cpuSeconds - (before[index]?.cpuSeconds ?? 0);
    assert.ok(spent > 0 && spent <= seconds * cpus * quotaSlack, `${spent} s of a processor in ${seconds} s`);
  }
  assert.equal(busy.hasProcess(server.pid), false);
  assert.ok(Math.min(...ratios) <= maxRatio, `p99 is ${ratios.join(', ')} times as long`);
});
