import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { acrApp } from '../../../test/support/acr-app.ts';
import { testRegion } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { descriptorOf, sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import type { Database } from '../../platform/database/database.ts';
import { type JournalEvent, streamOf } from '../../platform/journal/journal.ts';
import { notificationsOf } from './notification.ts';
import { cloudEvent, messageOf, subjectOf } from './webhook-message.ts';

const origin = { loginServer: 'contoso.berth.test', resourceId: '/registries/contoso', location: 'local' };
const chartType = 'application/vnd.cncf.helm.config.v1+json';

function event(type: string, data: Readonly<Record<string, unknown>>): JournalEvent {
  const place = { stream: 'registry/r/here', incarnation: 'i', seq: 7, hash: '' };
  return { ...place, occurredAtMicros: 1_700_000_000_123_456, actor: 'olivia', type, version: 1, data };
}

const chart = {
  repository: 'charts/shop',
  digest: 'sha256:00',
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  sizeBytes: 977,
  artifactType: chartType,
  request: { id: 'f', address: '192.0.2.1', name: 'Olivia', userAgent: 'Helm/3' },
};

test('a chart that is pushed is a push and a chart, with the name and version that Helm knows it by', () => {
  const told = notificationsOf(event('manifest.pushed', { ...chart, tags: ['1.2.0_build.5'] }));
  assert.deepEqual(
    told.map(({ action }) => action),
    ['push', 'quarantine', 'chart_push'],
  );
  const [push, , pushed] = told;
  assert(push !== undefined && pushed !== undefined);
  assert.equal(JSON.parse(messageOf('acr', origin, [push]).body).target.mediaType, chart.mediaType);
  assert.deepEqual(JSON.parse(messageOf('acr', origin, [pushed]).body), {
    id: pushed.id,
    timestamp: '2023-11-14T22:13:20.1234560Z',
    action: 'chart_push',
    target: {
      mediaType: 'application/vnd.acr.helm.chart',
      size: 977,
      digest: 'sha256:00',
      repository: 'charts/shop',
      tag: '1.2.0_build.5',
      name: 'shop',
      version: '1.2.0+build.5',
    },
  });
  assert.partialDeepStrictEqual(cloudEvent(origin, pushed), {
    type: 'Microsoft.ContainerRegistry.ChartPushed',
    subject: 'charts/shop:1.2.0_build.5',
    data: { action: 'chart_push', target: { name: 'shop' }, actor: { name: 'Olivia' } },
  });
});

test('a chart that is deleted is one deletion, and a chart for each of its tags', () => {
  const told = notificationsOf(event('manifest.deleted', { ...chart, tags: ['1.0.0', '1.0'] }));
  assert.deepEqual(
    told.map((each) => [each.action, subjectOf(each), each.target.chart?.version, each.scopeTags]),
    [
      ['delete', 'charts/shop', undefined, ['1.0.0', '1.0']],
      ['chart_delete', 'charts/shop:1.0.0', '1.0.0', ['1.0.0']],
      ['chart_delete', 'charts/shop:1.0', '1.0', ['1.0']],
    ],
  );
  assert.equal(new Set(told.map(({ id }) => id)).size, 3);
});

test('what is deleted when its tags are gone is no chart: the versions of its name stay', () => {
  const told = notificationsOf(event('manifest.deleted', { ...chart, tags: [] }));
  assert.deepEqual(
    told.map(({ action }) => action),
    ['delete'],
  );
});

test('a signature of a chart is no chart', () => {
  const artifactType = 'application/vnd.cncf.notary.signature';
  const told = notificationsOf(event('manifest.pushed', { ...chart, artifactType, subject: 'sha256:01' }));
  assert.deepEqual(
    told.map(({ action }) => action),
    ['push', 'quarantine', 'sign'],
  );
});

forEachDatabase((_, open) => {
  let database: Database;
  let registry: Awaited<ReturnType<typeof acrApp>>;
  before(async () => {
    database = await open();
    registry = await acrApp(database);
  });
  after(() => registry.close());

  /** What has happened so far, as receivers would be told of it; pushes are no quarantine here. */
  const told = async () => {
    const { journal } = registry.access;
    const start = await journal.start(streamOf(registry.registryUid, testRegion));
    return (await journal.after({ ...start, seq: 0 }, 1_000))
      .flatMap(notificationsOf)
      .filter(({ action }) => action !== 'quarantine');
  };
  const send = async (method: string, path: string, body: Buffer | string, type = 'application/json') => {
    const answer = await registry.ask(path, { method, headers: { 'content-type': type }, body: Buffer.from(body) });
    assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
  };
  const push = async (repository: string, type: string) => {
    const config = sampleBlob(`{"name":"${repository}"}`);
    await send('POST', `/v2/${repository}/blobs/uploads/?digest=${config.digest}`, config.bytes);
    const manifest = sampleImage([config], { config: descriptorOf(config, type) });
    await send('PUT', `/v2/${repository}/manifests/1.0.0`, manifest.bytes, manifest.mediaType);
    return manifest.digest;
  };

  test('what a client pushes and deletes with the config of a chart is a chart', async () => {
    const digest = await push('charts/shop', chartType);
    await send('DELETE', `/v2/charts/shop/manifests/${digest}`, '');
    assert.deepEqual(
      (await told()).map((each) => [each.action, subjectOf(each)]),
      [
        ['push', 'charts/shop:1.0.0'],
        ['chart_push', 'charts/shop:1.0.0'],
        ['delete', 'charts/shop'],
        ['chart_delete', 'charts/shop:1.0.0'],
      ],
    );
  });

  test('each result of a scanner is told once; a lock is none, and neither is that a result is awaited', async () => {
    const digest = await push('scanned', 'application/vnd.oci.image.config.v1+json');
    const says = async (word: object) =>
      await send('PATCH', `/acr/v1/scanned/_manifests/${digest}`, JSON.stringify(word));
    const quarantineDetails = JSON.stringify({ scanner: 'sample' });
    await says({ quarantineState: 'Quarantined' });
    await says({ deleteEnabled: false });
    await says({ quarantineState: 'Failed' });
    await says({ quarantineState: 'Failed' });
    await says({ quarantineDetails });
    await says({ quarantineState: 'Passed', deleteEnabled: true });
    const scans = (await told()).filter(({ action }) => action === 'scan_completed');
    assert.deepEqual(
      scans.map(({ target }) => target.quarantine),
      [
        { state: 'Failed' },
        { state: 'Failed', details: quarantineDetails },
        { state: 'Passed', details: quarantineDetails },
      ],
    );
    assert.deepEqual(scans[0]?.scopeTags, ['1.0.0']);
    assert.partialDeepStrictEqual(cloudEvent(origin, scans[2] ?? assert.fail()), {
      type: 'Microsoft.ContainerRegistry.ScanCompleted',
      subject: 'scanned',
      data: {
        target: {
          ...{ digest, repository: 'scanned', quarantineState: 'Passed', quarantineDetails },
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
        },
      },
    });
  });

  test('of a manifest with very many tags a scan names a thousand', async () => {
    const digest = await push('many', 'application/vnd.oci.image.config.v1+json');
    await database.transaction(async (tx) => {
      const query = tx.selectFrom('tags').where('digest', '=', digest).selectAll();
      const row = await query.executeTakeFirstOrThrow();
      const names = Array.from({ length: 1_200 }, (_each, index) => `v${index}`);
      for (let at = 0; at < names.length; at += 100)
        await tx
          .insertInto('tags')
          .values(names.slice(at, at + 100).map((name) => ({ ...row, name })))
          .execute();
    });
    await send('PATCH', `/acr/v1/many/_manifests/${digest}`, JSON.stringify({ quarantineState: 'Failed' }));
    const scan = (await told()).findLast(({ action }) => action === 'scan_completed');
    assert.deepEqual([scan?.target.repository, scan?.scopeTags.length], ['many', 1_000]);
  });
});
