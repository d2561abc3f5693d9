import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { bodyOf } from '../../../test/support/bodies.ts';
import { type ContentProcess, contentProcess, fullAuthority } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import { type SampleBuilds, sampleBuilds } from '../../../test/support/sample-builds.ts';
import { type SampleRoles, sampleRoles } from '../../../test/support/sample-roles.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { parseReference } from '../../core/reference.ts';
import { parseRepositoryName } from '../../core/repository-name.ts';
import type { Database } from '../../platform/database/database.ts';
import { Metadata } from '../content/metadata.ts';
import { type AnnotateParts, annotate } from './built-in-annotate.ts';
import type { RunRow } from './run-store.ts';

const acrPull = '7f951dda-4ed3-4680-a7ca-43fe172d538d';
const acrPush = '8311e382-0749-4cb8-b61a-304f252e45ec';
const me = fullAuthority();
const words = ['-f', 'team/app:.*', '--artifact-type', 'a/b', '-a', 'x=y'];

forEachDatabase((_, open) => {
  const folder = temporaryFolder('annotate');
  let database: Database;
  let roles: SampleRoles;
  let builds: SampleBuilds;
  let content: ContentProcess;
  let parts: AnnotateParts;
  before(async () => {
    database = await open();
    roles = await sampleRoles(database);
    builds = await sampleBuilds(database, roles);
    content = contentProcess({ database, folder: folder.path });
    const { directory, authorize, runTokens, account } = builds.here;
    parts = { ...content, ...account, directory, authorize, runTokens, metadata: new Metadata(content) };
    for (const tag of ['v1', 'v2']) await push(tag);
  });
  after(async () => {
    await builds.close();
    await roles.close();
    folder.remove();
  });

  const push = async (tag: string) => {
    const place = { registryUid: builds.registryUid, repository: parseRepositoryName('team/app') };
    const config = sampleBlob(tag);
    await content.uploads.push(place, me, config.digest, bodyOf(config.bytes));
    const { bytes: body, mediaType: contentType } = sampleImage([config]);
    await content.manifests.push(place, me, { body, contentType, reference: parseReference(tag), tags: [] });
  };
  /** A run of somebody with a role. */
  const runWith = async (name: string, role: string): Promise<RunRow> => {
    const who = await roles.person(name);
    await roles.assign(who, role, roles.contoso);
    const authority = { kind: 'principal', principalId: who.uid, principalType: 'ServicePrincipal' } as const;
    await builds.runs.schedule(builds.newRun({ authority }));
    const order = (await builds.take()) ?? assert.fail('it waits');
    return await builds.leases.held(order.lease);
  };
  const lines = async (run: RunRow, given: readonly string[], replaced: Partial<AnnotateParts> = {}) => {
    const from = { address: '192.0.2.1', correlationId: 'test', userAgent: undefined };
    const call = { run, words: [], from, signal: new AbortController().signal };
    const all = await Array.fromAsync(annotate({ ...parts, ...replaced }, call, given));
    return all.flatMap((each) => ('line' in each ? [each.line] : []));
  };

  test('what would be annotated is shown to whoever may read it, and annotated by whoever may push', async () => {
    const puller = await runWith('puller', acrPull);
    const dry = await lines(puller, [...words, '--dry-run']);
    assert.deepEqual(dry.slice(-2), ['Number of tags to be annotated: 2', 'Number of manifests to be annotated: 0']);
    await assert.rejects(lines(puller, words), { error: 'denied' });
  });

  test('a tag whose manifest goes meanwhile is passed over', async () => {
    const pusher = await runWith('pusher', acrPush);
    let removed = '';
    const tags: AnnotateParts['metadata']['tags'] = async (...asked) => {
      const page = await parts.metadata.tags(...asked);
      removed = page.entries.find(({ name }) => name === 'v1')?.digest ?? '';
      await database.transaction(async (tx) => {
        await tx.deleteFrom('tags').where('digest', '=', removed).execute();
        await tx.deleteFrom('manifests').where('digest', '=', removed).execute();
      });
      return page;
    };
    const told = await lines(pusher, words, { metadata: { tags } });
    assert.match(told.join('\n'), new RegExp(`Skipped \\S+/team/app@${removed}, HTTP status: 404`));
    assert.deepEqual(told.slice(-2), ['Number of annotated tags: 1', 'Number of annotated manifests: 0']);
  });
});
