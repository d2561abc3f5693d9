import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import { acrApp } from '../../../test/support/acr-app.ts';
import { bodyOf } from '../../../test/support/bodies.ts';
import { fullAuthority } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleBlob, sampleImage, sampleIndex } from '../../../test/support/oci-samples.ts';
import type { Ask, RegistryApp } from '../../../test/support/registry-app.ts';
import { parseReference, parseTag } from '../../core/reference.ts';
import { parseRepositoryName } from '../../core/repository-name.ts';
import {
  manifestAnswerSchema,
  manifestsAnswerSchema,
  repositoryDeletedSchema,
  repositorySchema,
  tagAnswerSchema,
  tagsAnswerSchema,
} from '../../wire/acr/metadata-schema.ts';
import { contentUsageSchema, registryUsageSchema } from '../../wire/acr/usage-schema.ts';
import { catalogSchema, errorListSchema } from '../../wire/oci/lists.ts';

const me = fullAuthority();
const config = sampleBlob('{"architecture":"amd64","os":"linux"}');
const layer = sampleBlob('layer', 3000);
const image = sampleImage([config, layer]);
const index = sampleIndex([image]);
const allOn = { deleteEnabled: true, writeEnabled: true, readEnabled: true, listEnabled: true };
const deletedTagsSchema = z.object({ tags: z.array(z.object({ tag: z.string() })) });
const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}0Z$/;

type Refusal = readonly [what: string, ask: string, with_: Ask, status: number, code: string];

const refusals: readonly Refusal[] = [
  ['no such repository', 'GET /acr/v1/nothing', {}, 404, 'NAME_UNKNOWN'],
  ['tags of no repository', 'GET /acr/v1/nothing/_tags', {}, 404, 'NAME_UNKNOWN'],
  ['manifests of no repository', 'GET /acr/v1/nothing/_manifests', {}, 404, 'NAME_UNKNOWN'],
  ['deletion of no repository', 'DELETE /acr/v1/nothing', {}, 404, 'NAME_UNKNOWN'],
  ['a lock on no repository', 'PATCH /acr/v1/nothing', { body: '{}' }, 404, 'NAME_UNKNOWN'],
  ['no such tag', 'GET /acr/v1/kept/app/_tags/v9', {}, 404, 'TAG_UNKNOWN'],
  ['deletion of no tag', 'DELETE /acr/v1/kept/app/_tags/v9', {}, 404, 'TAG_UNKNOWN'],
  ['a lock on no tag', 'PATCH /acr/v1/kept/app/_tags/v9', { body: '{}' }, 404, 'TAG_UNKNOWN'],
  ['no such manifest', `GET /acr/v1/kept/app/_manifests/${config.digest}`, {}, 404, 'MANIFEST_UNKNOWN'],
  ['a tag as a digest', 'GET /acr/v1/kept/app/_manifests/v1', {}, 400, 'DIGEST_INVALID'],
  ['a malformed tag', 'GET /acr/v1/kept/app/_tags/-x', {}, 400, 'TAG_INVALID'],
  ['a page of letters', 'GET /acr/v1/kept/app/_tags?n=x', {}, 400, 'PAGINATION_NUMBER_INVALID'],
  ['a negative page', 'GET /acr/v1/_catalog?n=-1', {}, 400, 'PAGINATION_NUMBER_INVALID'],
  ['NUL as the last', 'GET /acr/v1/kept/app/_tags?last=%00', {}, 400, 'BAD_REQUEST'],
  ['a moment of letters', 'GET /acr/v1/kept/app/_tags?orderby=timeasc&last=v1,x', {}, 400, 'BAD_REQUEST'],
  [
    'a moment too far off',
    `GET /acr/v1/kept/app/_tags?orderby=timeasc&last=v1,${'9'.repeat(17)}`,
    {},
    400,
    'BAD_REQUEST',
  ],
  [
    'a last that is not here',
    'GET /acr/v1/kept/app/_tags?orderby=timeasc&last=v9',
    {},
    404,
    'PAGINATION_NUMBER_INVALID',
  ],
  ['a malformed digest to filter by', 'GET /acr/v1/kept/app/_tags?digest=x', {}, 400, 'DIGEST_INVALID'],
  ['a body that is no JSON', 'PATCH /acr/v1/kept/app', { body: '{' }, 400, 'BAD_REQUEST'],
  ['a body that is a list', 'PATCH /acr/v1/kept/app', { body: '[]' }, 400, 'BAD_REQUEST'],
  ['an empty body', 'PATCH /acr/v1/kept/app', {}, 400, 'BAD_REQUEST'],
  ['a text for a flag', 'PATCH /acr/v1/kept/app', { body: '{"writeEnabled":"false"}' }, 400, 'BAD_REQUEST'],
  ['a body that is too large', 'PATCH /acr/v1/kept/app', { body: ' '.repeat(65_537) }, 413, 'SIZE_INVALID'],
  ['an unknown route', 'GET /acr/v1/kept/app/_things', {}, 404, 'NOT_FOUND'],
  ['another method', 'PUT /acr/v1/kept/app', {}, 405, 'UNSUPPORTED'],
  ['a manifest deleted here', `DELETE /acr/v1/kept/app/_manifests/${image.digest}`, {}, 405, 'UNSUPPORTED'],
  ['a deleted tag to go on after that is none', 'GET /acr/v1/_deleted/kept/app/_tags?last=v1', {}, 400, 'BAD_REQUEST'],
  [
    'a deleted tag of a moment too far off',
    `GET /acr/v1/_deleted/kept/app/_tags?last=v1,${'9'.repeat(17)},x`,
    {},
    400,
    'BAD_REQUEST',
  ],
  ['usage of no repository', 'GET /acr/v1/nothing/_usage', {}, 404, 'NAME_UNKNOWN'],
  ['usage of no tag', 'GET /acr/v1/kept/app/_usage/v9', {}, 404, 'MANIFEST_UNKNOWN'],
];

forEachDatabase((_, open) => {
  let registry: RegistryApp;
  const push = async (name: string, ...tags: string[]) => {
    const place = { registryUid: registry.registryUid, repository: parseRepositoryName(name) };
    for (const blob of [config, layer]) await registry.content.uploads.push(place, me, blob.digest, bodyOf(blob.bytes));
    const put = (manifest: typeof image, with_: string[]) =>
      registry.content.manifests.push(place, me, {
        body: manifest.bytes,
        contentType: manifest.mediaType,
        reference: parseReference(manifest.digest),
        tags: with_.map(parseTag),
      });
    await put(image, tags);
    await put(index, []);
  };
  const ask = async (line: string, with_: Ask = {}) => {
    const [method = 'GET', path = ''] = line.split(' ');
    return await registry.ask(path, { ...with_, method });
  };
  const get = async <T>(schema: z.ZodType<T>, path: string): Promise<T> => {
    const answer = await ask(`GET ${path}`);
    assert.equal(answer.status, 200);
    return schema.parse(await answer.json());
  };

  before(async () => {
    registry = await acrApp(await open());
    await push('kept/app', 'v1', 'v2');
  });
  after(() => registry.close());

  test('a repository, its tags and its manifests are shown with all their fields', async () => {
    const head = { registry: 'contoso.berth.test:5443', imageName: 'kept/app' };
    const repository = await get(repositorySchema.strict(), '/acr/v1/kept%2Fapp');
    assert.deepEqual(
      { ...repository, createdTime: '', lastUpdateTime: '' },
      { ...head, createdTime: '', lastUpdateTime: '', manifestCount: 2, tagCount: 2, changeableAttributes: allOn },
    );
    assert.match(repository.lastUpdateTime, time);
    const { tag } = await get(tagAnswerSchema.strict(), '/acr/v1/kept/app/_tags/v1');
    assert.deepEqual([tag.name, tag.digest, tag.signed, tag.changeableAttributes], ['v1', image.digest, false, allOn]);
    const { tags, ...rest } = await get(tagsAnswerSchema.strict(), '/acr/v1/kept/app/_tags');
    assert.deepEqual([rest, tags.map(({ name }) => name)], [head, ['v1', 'v2']]);
    const { manifest } = await get(manifestAnswerSchema.strict(), `/acr/v1/kept/app/_manifests/${image.digest}`);
    assert.match(manifest.createdTime, time);
    assert.deepEqual(
      { ...manifest, createdTime: '', lastUpdateTime: '' },
      {
        digest: image.digest,
        imageSize: 3000 + config.bytes.length,
        createdTime: '',
        lastUpdateTime: '',
        architecture: 'amd64',
        os: 'linux',
        mediaType: image.mediaType,
        configMediaType: 'application/vnd.oci.image.config.v1+json',
        tags: ['v1', 'v2'],
        changeableAttributes: { ...allOn, quarantineState: 'Passed' },
      },
    );
    const { manifests } = await get(manifestsAnswerSchema.strict(), '/acr/v1/kept/app/_manifests');
    const listed = manifests.find(({ digest }) => digest === index.digest);
    assert.deepEqual([listed?.references, listed?.tags], [[{ digest: image.digest }], undefined]);
    assert((await get(catalogSchema, '/acr/v1/_catalog')).repositories.includes('kept/app'));
  });

  test('links lead through every order, and keep the spelling of the request', async () => {
    await push('paged', 'c', 'a', 'b');
    for (const [order, path] of [
      ['', '/acr/v1/paged/_tags?n=2'],
      ['', '/acr/v1/paged/_tags?n=2&orderby='],
      ['timeasc', '/acr/v1/paged/_tags?n=2&orderby=timeasc'],
      ['timedesc', '/acr/v1/%70aged/_tags?n=2&orderby=timedesc'],
    ] as const) {
      const answer = await ask(`GET ${path}`);
      const link = answer.headers.get('link') ?? '';
      const [, next = ''] = /^<([^>]+)>; rel="next"$/.exec(link) ?? [];
      assert(next.startsWith(`${path.split('?')[0]}?`) && next.includes('n=2'), link);
      for (const parameter of next.split('?')[1]?.split('&') ?? []) assert.match(parameter, /=/);
      const first = tagsAnswerSchema.parse(await answer.json());
      const last = await get(tagsAnswerSchema, next);
      const names = [...first.tags, ...last.tags].map(({ name }) => name);
      assert.deepEqual(names, order === 'timedesc' ? ['c', 'b', 'a'] : ['a', 'b', 'c']);
      assert.equal((await ask(`GET ${next}`)).headers.get('link'), null);
    }
    const ofIndex = await get(tagsAnswerSchema, `/acr/v1/paged/_tags?digest=${index.digest}`);
    assert.deepEqual(ofIndex.tags, []);
  });

  test('a page without entries has null for its list, which ends the walk of Azure’s acr, also where it is the first', async () => {
    await push('walked', 'v1');
    const list = async (path: string) => (await ask(`GET /acr/v1/walked/${path}`)).json();
    const head = { registry: 'contoso.berth.test:5443', imageName: 'walked' };
    assert.deepEqual(await list('_tags?last=v1'), { ...head, tags: null });
    assert.deepEqual(await list(`_manifests?last=sha256:${'f'.repeat(64)}`), { ...head, manifests: null });
    assert.deepEqual(await list(`_tags?digest=${image.digest.replace(/.$/, (last) => (last === '0' ? '1' : '0'))}`), {
      ...head,
      tags: [],
    });
    await ask('DELETE /acr/v1/walked/_tags/v1');
    assert.deepEqual(await list('_tags'), { ...head, tags: null });
  });

  test('attributes are set one by one, shown in the answer, and hold', async () => {
    await push('locked', 'v1');
    const patch = async (path: string, body: object) => {
      const answer = await ask(`PATCH ${path}`, { body: JSON.stringify(body) });
      assert.equal(answer.status, 200);
      return await answer.json();
    };
    const tag = tagAnswerSchema.parse(await patch('/acr/v1/locked/_tags/v1', { writeEnabled: false }));
    assert.deepEqual(tag.tag.changeableAttributes, { ...allOn, writeEnabled: false });
    const more = { deleteEnabled: false, listEnabled: null, other: 1 };
    const again = tagAnswerSchema.parse(await patch('/acr/v1/locked/_tags/v1', more));
    assert.deepEqual(again.tag.changeableAttributes, { ...allOn, writeEnabled: false, deleteEnabled: false });
    const refused = await ask('DELETE /acr/v1/locked/_tags/v1');
    assert.equal(refused.status, 405);
    const [error] = errorListSchema.parse(await refused.json()).errors;
    assert.equal(error?.code, 'REGISTRY_DISALLOWED_OPERATION');
    assert.deepEqual(error?.detail, { repository: 'locked', tag: 'v1', writeEnabled: false });
    const path = `/acr/v1/locked/_manifests/${image.digest}`;
    const manifest = manifestAnswerSchema.parse(await patch(path, { readEnabled: false }));
    assert.equal(manifest.manifest.changeableAttributes.readEnabled, false);
    assert.equal((await ask('GET /v2/locked/manifests/v1')).status, 405);
    assert.equal((await ask('HEAD /v2/locked/manifests/v1')).status, 405);
    const off = { readEnabled: false, writeEnabled: false, deleteEnabled: false, listEnabled: false };
    assert.deepEqual(repositorySchema.parse(await patch('/acr/v1/locked', off)).changeableAttributes, off);
    assert.deepEqual(repositorySchema.parse(await patch('/acr/v1/locked', allOn)).changeableAttributes, allOn);
  });

  test('what a scanner says of a manifest is kept and shown as it is, until it says something else', async () => {
    await push('scanned', 'v1');
    const path = `/acr/v1/scanned/_manifests/${image.digest}`;
    const patch = async (body: object) => {
      const answer = await ask(`PATCH ${path}`, { body: JSON.stringify(body) });
      assert.equal(answer.status, 200);
      return manifestAnswerSchema.parse(await answer.json()).manifest.changeableAttributes;
    };
    const quarantineDetails = JSON.stringify({ scanner: 'sample', state: 'scan failed' });
    const failed = { ...allOn, quarantineState: 'Failed', quarantineDetails };
    assert.deepEqual(await patch({ quarantineState: 'Failed', quarantineDetails }), failed);
    const { manifests } = await get(manifestsAnswerSchema.strict(), '/acr/v1/scanned/_manifests');
    const states = new Map(manifests.map((each) => [each.digest, each.changeableAttributes.quarantineState]));
    assert.deepEqual([states.get(image.digest), states.get(index.digest)], ['Failed', 'Passed']);
    assert.deepEqual(await patch({ writeEnabled: false }), { ...failed, writeEnabled: false });
    const passed = await patch({ quarantineState: 'Passed', writeEnabled: true });
    assert.deepEqual(passed, { ...failed, quarantineState: 'Passed' });
    const result = { version: '1', summary: [{ severity: 'High', count: 2 }], description: 'x'.repeat(1_024) };
    const whole = JSON.stringify({ scanner: 'sample', state: 'scan failed', link: 'https://scans.test/1', result });
    assert.equal((await patch({ quarantineDetails: whole })).quarantineDetails, whole);
    const wrong: readonly object[] = [
      { more: 1 },
      [],
      { result: { ...result, more: 1 } },
      { result: { ...result, description: 'x'.repeat(1_025) } },
      { result: { summary: [{ severity: 'Terrible', count: 1 }] } },
      { result: { summary: Array.from({ length: 6 }, () => ({ severity: 'Low', count: 1 })) } },
    ];
    const details = ['{', ' '.repeat(4_096) + whole, ...wrong.map((each) => JSON.stringify(each))];
    for (const body of [{ quarantineState: 'Perhaps' }, ...details.map((each) => ({ quarantineDetails: each }))])
      assert.equal((await ask(`PATCH ${path}`, { body: JSON.stringify(body) })).status, 400);
  });

  test('what a scanner says takes a token of its own right, attributes and it take both', async () => {
    await push('scanned/by-token', 'v1');
    const path = `/acr/v1/scanned/by-token/_manifests/${image.digest}`;
    const patch = async (body: object, ...actions: readonly string[]) => {
      const authorization =
        actions.length === 0 ? '' : await registry.tokenFor({ type: 'repository', name: 'scanned/by-token', actions });
      return await ask(`PATCH ${path}`, { body: JSON.stringify(body), headers: { authorization } });
    };
    const saying = { quarantineState: 'Failed' };
    const setting = { writeEnabled: true };
    for (const [body, ...actions] of [
      [saying, 'quarantine_write'],
      [setting, 'metadata_write'],
      [{ ...saying, ...setting }, 'metadata_write', 'quarantine_write'],
    ] as const)
      assert.equal((await patch(body, ...actions)).status, 200);
    const refused: readonly (readonly [body: object, actions: readonly string[], scope: string])[] = [
      [saying, [], 'quarantine_write'],
      [saying, ['metadata_read', 'metadata_write'], 'quarantine_write'],
      [setting, ['quarantine_write'], 'metadata_write'],
      [{ ...saying, ...setting }, ['metadata_write'], 'metadata_write,quarantine_write'],
      [{ ...saying, ...setting }, ['quarantine_write'], 'metadata_write'],
    ];
    for (const [body, actions, scope] of refused) {
      const answer = await patch(body, ...actions);
      assert.equal(answer.status, 401);
      const asked = /scope="([^"]*)"/.exec(answer.headers.get('www-authenticate') ?? '')?.[1];
      assert.equal(asked, `repository:scanned/by-token:${scope}`);
    }
  });

  test('a tag goes with an empty answer, a repository with the list of what went', async () => {
    await push('gone/app', 'v1', 'v2');
    const untagged = await ask('DELETE /acr/v1/gone%2Fapp/_tags/v1');
    assert.deepEqual([untagged.status, await untagged.text()], [202, '']);
    const deleted = await ask('DELETE /acr/v1/gone%2Fapp');
    assert.equal(deleted.status, 202);
    assert.deepEqual(repositoryDeletedSchema.strict().parse(await deleted.json()), {
      manifestsDeleted: [image.digest, index.digest].sort(),
      tagsDeleted: ['v2'],
    });
    assert.equal((await ask('GET /acr/v1/gone/app')).status, 404);
  });

  test('deleted tags come page by page, the one deleted last at the end', async () => {
    const keepDeleted = async (isOn: boolean) =>
      await registry.content.database.transaction(async (tx) => {
        await tx
          .updateTable('registries')
          .set({ keeps_deleted: isOn ? 1 : 0 })
          .execute();
      });
    const inOrder = ['v3', 'v1', 'v5', 'v2', 'v4'];
    await push('untagged', ...inOrder);
    await keepDeleted(true);
    for (const tag of inOrder) await ask(`DELETE /acr/v1/untagged/_tags/${tag}`);
    await keepDeleted(false);
    const pages: string[][] = [];
    for (let path: string | undefined = '/acr/v1/_deleted/untagged/_tags?n=2'; path !== undefined; ) {
      const answer: Response = await ask(`GET ${path}`);
      const { tags } = deletedTagsSchema.parse(await answer.json());
      pages.push(tags.map(({ tag }) => tag));
      path = /<([^>]+)>/.exec(answer.headers.get('link') ?? '')?.[1];
    }
    assert.deepEqual(pages, [['v3', 'v1'], ['v5', 'v2'], ['v4']]);
  });

  test('usage is told of the registry, a repository, a tag and a digest', async () => {
    const { usedBytes, limitBytes } = await get(registryUsageSchema.strict(), '/acr/v1/_usage');
    assert.equal(limitBytes, 1_000_000);
    assert(usedBytes > 3000);
    const repository = await get(contentUsageSchema.strict(), '/acr/v1/kept/app/_usage');
    const manifests = image.bytes.length + index.bytes.length;
    assert.deepEqual([repository.manifests, (repository.heldAloneBytes ?? 0) >= manifests], [2, true]);
    for (const reference of ['v1', image.digest]) {
      const usage = await get(contentUsageSchema.strict(), `/acr/v1/kept/app/_usage/${reference}`);
      assert.deepEqual(
        [usage.reference, usage.manifests, usage.referencedBytes],
        [reference, 1, 3000 + config.bytes.length + image.bytes.length],
      );
    }
  });

  for (const [what, line, with_, status, code] of refusals)
    test(`refused: ${what}`, async () => {
      const answer = await ask(line, with_);
      assert.equal(answer.status, status);
      assert.equal(errorListSchema.parse(await answer.json()).errors[0]?.code, code);
    });

  const actions: readonly [line: string, scope: string][] = [
    ['GET /acr/v1/_catalog', 'registry:catalog:*'],
    ['GET /acr/v1/_usage', 'registry:catalog:*'],
    ['GET /acr/v1/kept/app', 'repository:kept/app:metadata_read'],
    ['PATCH /acr/v1/kept/app', 'repository:kept/app:metadata_write'],
    ['DELETE /acr/v1/kept/app', 'repository:kept/app:delete'],
    ['GET /acr/v1/kept/app/_tags', 'repository:kept/app:metadata_read'],
    ['GET /acr/v1/kept/app/_tags/v1', 'repository:kept/app:metadata_read'],
    ['PATCH /acr/v1/kept/app/_tags/v1', 'repository:kept/app:metadata_write'],
    ['DELETE /acr/v1/kept/app/_tags/v1', 'repository:kept/app:delete'],
    ['GET /acr/v1/kept/app/_manifests', 'repository:kept/app:metadata_read'],
    [`GET /acr/v1/kept/app/_manifests/${image.digest}`, 'repository:kept/app:metadata_read'],
    [`PATCH /acr/v1/kept/app/_manifests/${image.digest}`, 'repository:kept/app:metadata_write'],
    ['GET /acr/v1/_deleted/_catalog', 'registry:deleted_catalog:*'],
    ['GET /acr/v1/_deleted/kept/app/_tags', 'repository:kept/app:deleted_read'],
    ['GET /acr/v1/_deleted/kept/app/_manifests', 'repository:kept/app:deleted_read'],
    [`POST /acr/v1/_deleted/kept/app/_manifests/${image.digest}`, 'repository:kept/app:deleted_restore'],
    ['GET /acr/v1/kept/app/_usage', 'repository:kept/app:metadata_read'],
    ['GET /acr/v1/kept/app/_usage/v1', 'repository:kept/app:metadata_read'],
  ];
  for (const [line, scope] of actions)
    test(`${line.replace(image.digest, 'DIGEST')} asks strangers and narrow tokens for ${scope}`, async () => {
      const authorization = await registry.tokenFor({
        type: 'repository',
        name: 'kept/app',
        actions: ['pull', 'push'],
      });
      for (const headers of [{ authorization: '' }, { authorization }]) {
        const answer = await ask(line, { headers });
        assert.equal(answer.status, 401);
        assert(answer.headers.get('www-authenticate')?.includes(`scope="${scope}"`));
      }
    });
});
