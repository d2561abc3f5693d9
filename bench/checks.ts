import { temporaryFolder } from '../test/support/temporary-folder.ts';
import { Connection } from './http/connection.ts';
import { ImageSource, MiB, manifestType } from './images.ts';
import { Recorder } from './recorder.ts';
import { RegistryClient } from './registry-client.ts';
import { together } from './sequence.ts';
import { UsageWatch } from './server-usage.ts';
import { withAndWithoutChecks } from './servers/checks.ts';
import type { ServerKind } from './servers/server-kind.ts';
import { pullLines, type Target } from './servers/target.ts';

export type ChecksOptions = { readonly clients: number; readonly turns: number };

const turnMs = 700;
const warmUpTurns = 4;
const repository = 'bench/checks';
const least = 0.85;

type Rate = { requests: number; ms: number; cpuSeconds: number };
type Side = { readonly target: Target; readonly head: string; readonly rate: Rate };

/**
 * How often a manifest is answered with the check of a bearer token and of rights, and how often without: both servers run, and
 * take turns of less than a second, so that whatever else is at work on the machine touches both alike.
 */
export async function costOfChecks({ clients, turns }: ChecksOptions): Promise<string> {
  await using opened = new AsyncDisposableStack();
  const sides: Side[] = [];
  for (const kind of withAndWithoutChecks()) sides.push(await prepared(kind, opened));
  for (let turn = 0; turn < warmUpTurns + turns; turn++)
    for (const side of sides) {
      const rate = await oneTurn(side, clients);
      if (turn >= warmUpTurns) add(side.rate, rate);
    }
  const [checked, open] = sides;
  if (checked === undefined || open === undefined) throw new Error('there are two servers to compare');
  const ratio = perSecond(checked) / perSecond(open);
  const verdict = `${ratio.toFixed(2)}x  ${ratio >= least ? 'met' : 'MISSED'}`;
  return [...sides.map(lineOf), `Manifest GET with the checks >= ${least}x without  ${verdict}`].join('\n');
}

async function prepared(kind: ServerKind, opened: AsyncDisposableStack): Promise<Side> {
  const folder = temporaryFolder('checks');
  opened.defer(() => folder.remove());
  const { target, stop } = await kind.start(folder.path);
  opened.defer(stop);
  const client = new RegistryClient(target, new Recorder());
  await client.pushMonolith(repository, 'v1', new ImageSource().same(MiB));
  client.close();
  const lines = [...(await pullLines(target, repository)), `Accept: ${manifestType}`];
  const head = [`GET /v2/${repository}/manifests/v1 HTTP/1.1`, ...lines, ''].join('\r\n');
  return { target, head, rate: { requests: 0, ms: 0, cpuSeconds: 0 } };
}

async function oneTurn({ target, head }: Side, clients: number): Promise<Rate> {
  const pid = target.pid();
  if (pid === undefined) throw new Error(`${target.name} is not running`);
  const watch = new UsageWatch(pid);
  const start = performance.now();
  let requests = 0;
  await together(clients, async () => {
    const connection = new Connection(target.origin);
    while (performance.now() < start + turnMs) {
      const answer = await connection.send({ head });
      if (answer.status !== 200) throw new Error(`status ${answer.status}, expected 200`);
      requests += 1;
    }
    connection.close();
  });
  return { requests, ms: performance.now() - start, cpuSeconds: watch.stop().cpuSeconds };
}

function add(sum: Rate, { requests, ms, cpuSeconds }: Rate): void {
  sum.requests += requests;
  sum.ms += ms;
  sum.cpuSeconds += cpuSeconds;
}

function lineOf(side: Side): string {
  const microseconds = (side.rate.cpuSeconds * 1_000_000) / side.rate.requests;
  const rate = `${perSecond(side).toFixed(0)} req/s`;
  return `${side.target.name.padEnd(14)} ${rate}, ${microseconds.toFixed(0)} us of CPU time each`;
}

function perSecond({ rate: { requests, ms } }: Side): number {
  return (requests * 1000) / ms;
}
