import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../support/wait-for.ts';
import { blobSeed, imageOf } from './content.ts';
import { count } from './length.ts';
import type { Way } from './registry-client.ts';
import { Strace, type SystemCall } from './strace.ts';
import { Trial } from './trial.ts';

const images = count(3, 100);
const traced =
  'trace=read,readv,recvfrom,write,writev,sendto,sendmsg,pwrite64,pwritev,fsync,fdatasync,rename,renameat,renameat2';
/** Goal: 6, and 2 for each layer. Each chunk sent apart is acknowledged, so durable, apart. */
const ways: readonly (readonly [way: Way, maxSyncs: number])[] = [
  ['one request', 12],
  ['post and put', 12],
  ['chunks', 24],
];

// DL-16: no fsync before the answer.
for (const [way, maxSyncs] of ways) {
  test(`F-04: bytes, directory entries and rows are synced before each 201, blobs pushed by ${way}`, async (t) => {
    await using trial = new Trial();
    const server = await trial.start();
    // What a start leaves to background work has its own syncs.
    await sleep(2_000);
    await using strace = await Strace.attach(server.pid, join(trial.folder, 'strace'), ['-e', traced]);
    for (let image = 0; image < images; image += 1) {
      const blobs = [blobSeed(1_000), blobSeed(3_000_000), blobSeed(50_000)];
      for (const blob of blobs) await trial.client.pushBlob('audit', blob, way);
      await trial.client.putManifest('audit', `v${image}`, imageOf(blobs));
    }
    const answersIn = (calls: readonly SystemCall[]) =>
      calls.filter((call) => isWrite(call) && call.text.includes('"HTTP/1.1 201 '));
    // A client may have its answer before strace has written that down.
    await waitFor('the answers are in the record', 60_000, () => answersIn(strace.calls()).length >= images * 4);
    await strace.detach();
    const calls = strace.calls();
    const answers = answersIn(calls);
    assert.equal(answers.length, images * 4);
    assert.deepEqual(
      answers.flatMap((answer, index) => faultsOf(answer, index, calls)),
      [],
    );
    // Background work has syncs of its own: the image beside which there were fewest counts.
    const endOf = (image: number) => answers[image * 4 - 1]?.begin ?? 0;
    const syncsOf = (image: number) =>
      calls.filter((call) => isSync(call) && call.begin > endOf(image) && call.begin < endOf(image + 1)).length;
    const syncs = Math.min(...Array.from({ length: images }, (_, image) => syncsOf(image)));
    t.diagnostic(`${syncs} fsyncs for an image of 3 blobs`);
    assert.ok(syncs <= maxSyncs, `${syncs} fsyncs for an image of 3 blobs`);
  });
}

/** Requests come one after the other, so whatever belongs to one lies between its own first bytes and its answer. */
function faultsOf(answer: SystemCall, index: number, calls: readonly SystemCall[]): string[] {
  const request = calls.findLast((call) => call.end < answer.begin && /"(POST|PUT) \/v2\//.test(call.text));
  if (request === undefined) return [`answer ${index}: no request before it`];
  const within = calls.filter((call) => call.begin > request.begin && call.end < answer.begin);
  const steps = request.text.includes('/manifests/') ? manifestSteps : blobSteps;
  let from = request.begin;
  for (const [what, isStep] of steps) {
    const step = within.find((call) => call.begin > from && isStep(call) && / = 0$/.test(call.text.trimEnd()));
    if (step === undefined) return [`answer ${index} to ${request.text.slice(0, 90)}: no ${what}, or not in order`];
    from = step.end;
  }
  return [];
}

type Step = readonly [what: string, isStep: (call: SystemCall) => boolean];

const rowSync: Step = ['sync of the rows', (call) => isSync(call) && /berth\.sqlite-wal>/.test(call.text)];
const manifestSteps: readonly Step[] = [rowSync];
const blobSteps: readonly Step[] = [
  ['sync of the file', (call) => isSync(call) && /\/incoming\/[0-9a-f]{32}>/.test(call.text)],
  ['rename', (call) => call.name.startsWith('rename') && /\/incoming\/.*\/blobs\//.test(call.text)],
  ['sync of the folder', (call) => isSync(call) && /\/blobs\/[0-9a-f]{2}>/.test(call.text)],
  rowSync,
];

function isSync({ name }: SystemCall): boolean {
  return name === 'fsync' || name === 'fdatasync';
}

function isWrite({ name }: SystemCall): boolean {
  return ['write', 'writev', 'sendto', 'sendmsg'].includes(name);
}
