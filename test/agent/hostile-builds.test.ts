import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import { count } from '../faults/length.ts';
import { agentsOf, leftOf, roomsOf, scheduleBuild, scheduleLongBuild, scheduleRunOf } from '../faults/running-build.ts';
import { armCaller } from '../support/arm-caller.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { waitFor } from '../support/wait-for.ts';

// Builds that take all they can, beside one that only prints: on the agent of the server, in rooms with small limits.

const settings = {
  'build-disk': '400MiB',
  'build-memory': '192MiB',
  'build-processes': '120',
  'build-log-limit': '4MiB',
  'build-slots': '2',
};
const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;
/** An agent and its server stand far below it; a log that was kept in memory would not. */
const maxRssGrowth = 200 * mebibyte;
const neighbourLines = 500;
/** The kernel counts a quota by periods of 0.1 s, with which steps do not begin. */
const quotaSlack = 1.3;
const runSchema = z.looseObject({
  properties: z.looseObject({ status: z.string(), runErrorMessage: z.string().nullable() }),
});
let server: BerthServer;
let neighbour: string;
let agents: readonly number[];

before(async () => {
  server = await startBerth({ settings });
  neighbour = await scheduleLongBuild(
    server,
    `i=0; while [ $i -lt ${neighbourLines} ]; do echo line $i; sleep 0.2; i=$((i+1)); done`,
  );
  await waitFor('the neighbour prints', 180_000, async () => /line 3/.test((await logOf(neighbour)).text));
  agents = agentsOf(server);
  assert.equal(agents.length, 1);
});
after(async () => {
  await server.stop();
  await server.remove();
});

const show = async (runId: string) => runSchema.parse(await (await armCaller(server)).get(`runs/${runId}`)).properties;

async function logOf(runId: string): Promise<{ readonly text: string; readonly headers: Headers }> {
  const arm = await armCaller(server);
  const { logLink } = z.looseObject({ logLink: z.string() }).parse(await arm.post(`runs/${runId}/listLogSasUrl`));
  const { pathname, search } = new URL(logLink);
  const answer = await fetch(`${server.http}${pathname}${search}`);
  return { text: answer.status === 404 ? '' : await answer.text(), headers: answer.headers };
}

type Outcome = { readonly status: string; readonly runErrorMessage: string | null; readonly runId: string };

/** How a build of this line ends. */
async function outcomeOf(line: string): Promise<Outcome> {
  return await endOf(await scheduleLongBuild(server, line));
}

async function endOf(runId: string): Promise<Outcome> {
  let found = await show(runId);
  await waitFor(`the run ${runId} ends`, count(120_000, 1_800_000), async () => {
    found = await show(runId);
    return !['Queued', 'Started', 'Running'].includes(found.status);
  });
  return { ...found, runId };
}

function rssOf(pid: number): number {
  const [, kibibytes = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kibibytes) * kibibyte;
}

test('one that fills its disk is told so', async () => {
  const { status, runErrorMessage } = await outcomeOf('cat /dev/zero > /filler');
  assert.equal(status, 'Failed');
  assert.match(runErrorMessage ?? '', /the disk of the run is full \(400 MiB\)/);
});

test('one that takes memory without end is told so', async () => {
  const { status, runErrorMessage } = await outcomeOf('tail /dev/zero');
  assert.equal(status, 'Failed');
  assert.match(runErrorMessage ?? '', /the memory that the run may have is used up \(192 MiB\)/);
});

test('one that makes processes without end is told so', async () => {
  const { status, runErrorMessage } = await outcomeOf('b() { b | b & }; b; sleep 4; exit 9');
  assert.equal(status, 'Failed');
  assert.match(runErrorMessage ?? '', /the run has as many processes as it may \(120\)/);
});

test('steps that keep every processor busy have the part that they ask for, and no more', async (t) => {
  const busy = 'while :; do :; done &';
  const line = `a=$(date +%s%N); ${busy} x=$!; ${busy} y=$!; sleep 1.5; kill $x $y; wait; b=$(date +%s%N); echo took $((b - a)); times`;
  const steps = [
    { build: '-t app:busy .', cpus: 0.5, when: ['-'] },
    { cmd: `{{.Run.Registry}}/app:busy /bin/sh -c '${line}'`, cpus: 0.5 },
  ];
  const dockerfile = `FROM scratch\nCOPY . /\nRUN ${JSON.stringify(['/bin/sh', '-c', line])}\n`;
  const { status, runId } = await endOf(
    await scheduleRunOf(
      server,
      { Dockerfile: dockerfile, 'acb.yaml': JSON.stringify({ steps }) },
      { type: 'FileTaskRunRequest', taskFilePath: 'acb.yaml', platform: { os: 'Linux' } },
    ),
  );
  const { text } = await logOf(runId);
  assert.equal(status, 'Succeeded', text);
  const found = [...text.matchAll(/^took (\d+)\r\n\S+ \S+\r\n(\d+)m([\d.]+)s /gm)];
  assert.equal(found.length, steps.length, text);
  for (const [, nanoseconds, minutes, seconds] of found) {
    const [took, used] = [Number(nanoseconds) / 1e9, Number(minutes) * 60 + Number(seconds)];
    t.diagnostic(`${used} s of a processor in ${took.toFixed(1)} s`);
    assert.ok(used > 0 && used <= took * 0.5 * quotaSlack, `${used} s of a processor in ${took} s`);
  }
});

test('a log without end is cut at its limit, can be read, and costs nobody memory', async (t) => {
  const bytes = count(64, 1024) * mebibyte;
  const [agent = 0] = agents;
  const before = rssOf(server.pid) + rssOf(agent);
  let peak = 0;
  const watch = setInterval(() => {
    peak = Math.max(peak, rssOf(server.pid) + rssOf(agent));
  }, 100);
  const line = 'yes 0123456789abcdefghijklmnopqrstuvwxyz | head -c';
  const { status, runId } = await outcomeOf(`${line} ${bytes}`).finally(() => clearInterval(watch));
  assert.equal(status, 'Succeeded');
  const grown = `${Math.round((peak - before) / mebibyte)} MiB more of the server and its agent at the peak`;
  t.diagnostic(grown);
  assert(peak - before < maxRssGrowth, grown);
  const { text, headers } = await logOf(runId);
  assert.match(text, /The log is longer than its limit; what follows is left out\.\r\n/);
  assert.match(text, /Successfully pushed image: \S+\/app:one\r\n/);
  assert.match(text, /was successful after \d+s\r\n$/);
  assert.equal(headers.get('x-ms-meta-Complete'), 'successful');
  assert(text.length < 6 * mebibyte, `${text.length} bytes`);
});

test('one that mounts the root of what builds it finds neither files of the machine nor what its run signed in with', async () => {
  const canary = join(server.dataFolder, '../canary');
  const secret = `canary-${server.pid}`;
  writeFileSync(canary, secret, { mode: 0o644 });
  // CVE-2024-1753: it works with Debian's buildah, where the root is that of the run's room.
  const look = `id; ls /host /host/mnt /host/root; cat /host${canary} /host/etc/shadow; cat /host/mnt/root/auth.json /host/root/auth.json /host/dev/shm/auth.json; cat /host/proc/[0-9]*/fd/3 /host/proc/[0-9]*/environ; echo looked`;
  const { runId } = await endOf(
    await scheduleBuild(
      server,
      `FROM scratch AS evil
COPY . /
RUN ["/bin/ln", "-s", "/", "/link"]
FROM scratch
COPY . /
RUN --mount=type=bind,from=evil,source=/link,target=/host ${JSON.stringify(['/bin/sh', '-c', look])}
`,
    ),
  );
  const { text } = await logOf(runId);
  assert.match(text, /looked\r\n|Error/);
  assert.doesNotMatch(text, new RegExp(`${secret}|"auths"|BERTH_|root:[!*$]`));
});

test('the build beside them went on, as did the agent, and nothing is left', async () => {
  const ended = async () => (await show(neighbour)).status;
  await waitFor('it is done', 120_000, async () => (await ended()) === 'Succeeded');
  const printed = [...(await logOf(neighbour)).text.matchAll(/^line (\d+)\r$/gm)].map(([, line]) => Number(line));
  assert.deepEqual(
    printed,
    Array.from({ length: neighbourLines }, (_, line) => line),
  );
  assert.deepEqual(agentsOf(server), agents);
  await waitFor('no room is left', 60_000, () => roomsOf(server).length === 0);
  await waitFor('nothing is left', 60_000, async () => (await leftOf(server, neighbour)).length === 0);
});
