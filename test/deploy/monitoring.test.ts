import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parse } from 'yaml';
import { z } from 'zod';
import { metricNames } from '../../src/features/insight/metric.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { Daemon } from '../support/daemon.ts';
import { freePort } from '../support/free-port.ts';
import { asAdmin, platformImage, pushSample } from '../support/push-sample.ts';
import { run, tryRun } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';

const monitoring = join(import.meta.dirname, '../../deploy/monitoring');
const rulesSchema = z.object({
  groups: z.array(z.object({ rules: z.array(z.object({ alert: z.string(), expr: z.string() })) })),
});
const dashboardSchema = z.object({
  panels: z.array(z.object({ title: z.string(), targets: z.array(z.object({ expr: z.string() })).default([]) })),
});

let server: BerthServer;
let metricsOrigin = '';
let scrape = '';
const folder = temporaryFolder('monitoring');

before(async () => {
  const port = await freePort();
  metricsOrigin = `http://127.0.0.1:${port}`;
  server = await startBerth({ settings: { metrics: `127.0.0.1:${port}` } });
  await pushSample(server, 'team/app', platformImage('monitoring'), 'v1');
  for (const tag of ['v1', 'v1', 'missing']) await asAdmin(server, 'GET', `/v2/team/app/manifests/${tag}`);
  // Whoever is asked to sign in has not pulled.
  await fetch(`${server.http}/v2/team/app/manifests/v1`);
  scrape = await (await fetch(`${metricsOrigin}/metrics`)).text();
});
after(async () => {
  await server.remove();
  folder.remove();
});

function expressions(): Map<string, string> {
  const rules = rulesSchema.parse(parse(readFileSync(join(monitoring, 'alerts.yml'), 'utf8')));
  const dashboard = dashboardSchema.parse(JSON.parse(readFileSync(join(monitoring, 'dashboard.json'), 'utf8')));
  const queries = dashboard.panels.flatMap(({ title, targets }) =>
    targets.map(({ expr }, at): [string, string] => [`${title} ${at}`, withVariables(expr)]),
  );
  return new Map([
    ...rules.groups.flatMap(({ rules: all }) => all.map((rule) => [rule.alert, rule.expr] as const)),
    ...queries,
  ]);
}

/** As Grafana fills them in. */
function withVariables(expression: string): string {
  return expression.replaceAll('$__rate_interval', '1m').replaceAll(/\$(instance|registry)/g, '.*');
}

test('registries have the metrics of the product, by its names', () => {
  const values = Object.fromEntries(
    metricNames.map((name) => [
      name,
      Number(new RegExp(`^${name}\\{registry="local"\\} (\\d+)$`, 'm').exec(scrape)?.[1]),
    ]),
  );
  assert((values.StorageUsed ?? 0) > 1_000);
  assert.deepEqual(values, {
    StorageUsed: values.StorageUsed,
    TotalPullCount: 3,
    SuccessfulPullCount: 2,
    TotalPushCount: 1,
    SuccessfulPushCount: 1,
    RunDuration: 0,
    AgentPoolCPUTime: 0,
  });
});

test('promtool has nothing to say about the metrics but that the names of the product are not its own', async () => {
  const { output } = await tryRun('sh', ['-c', 'curl -fs "$0" | promtool check metrics', `${metricsOrigin}/metrics`]);
  const said = output.split('\n').filter((line) => !metricNames.some((name) => line.startsWith(`${name} `)));
  assert.equal(said.join('\n').trim(), '');
});

test('promtool takes the rules, and they fire when they should', async () => {
  await run('promtool', ['check', 'config', join(monitoring, 'prometheus.yml')]);
  await run('promtool', ['test', 'rules', join(monitoring, 'alerts.test.yml')]);
});

test('every metric that the rules and the dashboard name is told by a server', () => {
  const types = [...scrape.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name = '', type]) =>
    type === 'histogram' ? [`${name}_bucket`, `${name}_count`, `${name}_sum`] : [name],
  );
  const told = new Set([...types, 'up']);
  for (const [title, expression] of expressions()) {
    const named = expression
      .replaceAll(/\{[^}]*\}|\[[^\]]*\]|\b(by|without) *\([^)]*\)/g, ' ')
      .matchAll(/[a-zA-Z_]\w*(?! *\()\b/g);
    for (const [name] of named) assert(told.has(name), `${title} names ${name}`);
  }
});

test('a Prometheus with our configuration scrapes the server, and understands every query of the dashboard', async () => {
  const port = await freePort();
  const config = readFileSync(join(monitoring, 'prometheus.yml'), 'utf8')
    .replaceAll('127.0.0.1:9464', new URL(metricsOrigin).host)
    .replace('15s', '1s')
    .replace('alerts.yml', join(monitoring, 'alerts.yml'));
  writeFileSync(join(folder.path, 'prometheus.yml'), config);
  const prometheus = new Daemon({
    command: 'prometheus',
    args: [
      `--config.file=${join(folder.path, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder.path, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    logFile: join(folder.path, 'prometheus.log'),
  });
  try {
    const ask = async (query: string): Promise<string> => {
      const answer = await fetch(`http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(query)}`);
      return await answer.text();
    };
    await waitFor('Prometheus has scraped the server', 120_000, async () =>
      (await ask('sum(TotalPullCount{registry="local"})')).includes('"3"'),
    );
    for (const [title, query] of expressions()) assert.match(await ask(query), /"status":"success"/, title);
  } catch (cause) {
    throw new Error(prometheus.log(), { cause });
  } finally {
    await prometheus.stop();
  }
});

test('counters begin anew with a restart', async () => {
  await server.stop();
  server = await startBerth(server.again);
  const text = await (await fetch(`${metricsOrigin}/metrics`)).text();
  assert.match(text, /^TotalPullCount\{registry="local"\} 0$/m);
});
