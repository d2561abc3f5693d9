import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Hono } from 'hono';
import { z } from 'zod';
import { contentProcess, fullAuthority, quietLog as log } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import { sampleCircumstances } from '../../../test/support/sample-access.ts';
import { type SamplePerson, type SampleRoles, sampleRoles } from '../../../test/support/sample-roles.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { parseReference } from '../../core/reference.ts';
import { parseRepositoryName } from '../../core/repository-name.ts';
import { builtInRoles } from '../../features/access/role-built-ins.ts';
import { lockBits } from '../../features/content/attributes.ts';
import { lookBackLimits } from '../../features/insight/tags-as-of.ts';
import type { Database } from '../../platform/database/database.ts';
import { Turns } from '../../platform/turns.ts';
import type { Env } from '../middleware/env.ts';
import { renderFailure } from '../middleware/render-failure.ts';
import { asOfRoutes } from './as-of-routes.ts';

const listSchema = z.object({ tags: z.array(z.string()) });
const acrPull = builtInRoles.find(({ name }) => name === 'AcrPull')?.key ?? '';
const later = 'asOf=2100-01-01T00:00:00Z';

forEachDatabase((_, open) => {
  const folder = temporaryFolder('as-of');
  let database: Database;
  let sample: SampleRoles;
  let app: Hono<Env>;
  let puller: SamplePerson;

  before(async () => {
    database = await open();
    sample = await sampleRoles(database);
    const content = contentProcess({ database, folder: folder.path, isSparseAllowed: true });
    const registry = sample.here.directory.byUid(sample.registryUid) ?? assert.fail();
    app = new Hono<Env>();
    app.onError(renderFailure(log));
    app.use(async (c, next) => {
      c.set('call', { ...sampleCircumstances, origin: 'https://contoso.test', registry });
      await next();
    });
    app.route(
      '/',
      asOfRoutes({
        ...content,
        authorize: sample.here.authorize,
        tenantUid: sample.tenantUid,
        lookBacks: new Turns(lookBackLimits),
      }),
    );
    const place = { registryUid: registry.uid, repository: parseRepositoryName('app') };
    for (const tag of ['v1', 'v2', 'v3', 'v4']) {
      const { bytes: body, mediaType: contentType } = sampleImage([sampleBlob()]);
      await content.manifests.push(place, fullAuthority(), {
        body,
        contentType,
        reference: parseReference(tag),
        tags: [],
      });
    }
    puller = await sample.person('puller');
    await sample.assign(puller, acrPull, sample.contoso);
  });
  after(async () => {
    await sample.close();
    folder.remove();
  });

  const ask = async (path: string, { header: authorization }: SamplePerson = puller): Promise<Response> =>
    await app.request(path, { headers: { authorization } });
  const tagsOf = async (answer: Response) => listSchema.parse(await answer.json()).tags;
  const lock = async (tag: string, locks: number) => {
    await database.transaction((tx) => tx.updateTable('tags').set({ locks }).where('name', '=', tag).execute());
  };

  test('the list comes in pages', async () => {
    const first = await ask(`/v2/app/tags/list?n=3&${later}`);
    assert.deepEqual(await tagsOf(first), ['v1', 'v2', 'v3']);
    const [, next = ''] = /^<(.*)>; rel="next"$/.exec(first.headers.get('link') ?? '') ?? [];
    const second = await ask(next);
    assert.deepEqual(await tagsOf(second), ['v4']);
    assert.equal(second.headers.get('link'), null);
  });

  test('an instant is as fine as events are: what happened at it is there', async () => {
    const shown = z.tuple([z.looseObject({ occurred_at: z.number() })]);
    const events = await database.read
      .selectFrom('journal_events')
      .select('occurred_at')
      .where('type', '=', 'tag.set')
      .orderBy('seq')
      .limit(1)
      .execute();
    const [{ occurred_at: micros }] = shown.parse(events);
    const at = (each: number) =>
      `${new Date(Math.floor(each / 1_000)).toISOString().slice(0, -1)}${String(each % 1_000).padStart(3, '0')}Z`;
    assert.deepEqual(await tagsOf(await ask(`/v2/app/tags/list?asOf=${at(micros)}`)), ['v1']);
    assert.deepEqual(await tagsOf(await ask(`/v2/app/tags/list?asOf=${at(micros - 1)}`)), []);
  });

  test('a tag that lists do not show is not shown, and one that may not be read is not answered', async () => {
    await lock('v2', lockBits.listEnabled);
    await lock('v3', lockBits.readEnabled);
    assert.deepEqual(await tagsOf(await ask(`/v2/app/tags/list?${later}`)), ['v1', 'v3', 'v4']);
    assert.equal((await ask(`/v2/app/manifests/v2?${later}`)).status, 200);
    assert.equal((await ask(`/v2/app/manifests/v3?${later}`)).status, 405);
  });

  test('only lists of tags and manifests can be asked for, and a parameter of another name changes nothing', async () => {
    assert.equal((await ask(`/v2/_catalog?${later}`)).status, 400);
    assert.equal((await ask('/v2/app/tags/list?asOf')).status, 400);
    // No other routes are here.
    assert.equal((await ask('/v2/app/tags/list?asOfNow=1')).status, 404);
  });

  test('a right that was taken away ends with the next request, and tells nothing of what is there', async () => {
    const paths = ['/v2/app/tags/list', '/v2/app/manifests/v1', '/v2/app/manifests/unknown'];
    for (const [index, path] of paths.entries()) {
      const person = await sample.person(`revoked${index}`);
      const assignment = await sample.assign(person, acrPull, sample.contoso);
      await sample.here.directory.refresh();
      assert.notEqual((await ask(`${path}?${later}`, person)).status, 403);
      assert.equal((await sample.send('DELETE', assignment)).status, 200);
      assert.equal((await ask(`${path}?${later}`, person)).status, 403, path);
    }
  });
});
