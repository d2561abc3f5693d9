import { registryTaskType } from '../../src/api/arm/task-type.ts';
import { finishRun } from '../../src/features/builds/run-ending.ts';
import { nothingYet, type RunOutcome, runOf } from '../../src/features/builds/run-store.ts';
import { Runs } from '../../src/features/builds/runs.ts';
import { Removals } from '../../src/features/resources/removal.ts';
import type { Author, Resource } from '../../src/features/resources/resource.ts';
import { childName } from '../../src/features/resources/resource-names.ts';
import { findByUid } from '../../src/features/resources/resource-store.ts';
import { resourceTypes } from '../../src/features/resources/resource-type.ts';
import { Resources } from '../../src/features/resources/resources.ts';
import type { Clock } from '../../src/platform/clock.ts';
import type { Database } from '../../src/platform/database/database.ts';
import { type Journal, streamOf } from '../../src/platform/journal/journal.ts';
import type { Sealer } from '../../src/platform/keys/sealer.ts';
import { createLog } from '../../src/platform/log.ts';
import { systemIds as ids } from '../../src/platform/system-ids.ts';
import type { JsonObject } from '../../src/wire/arm/json.ts';
import type { ImageDependencies, OutputImage } from '../../src/wire/builds/run-work.ts';

const author: Author = { uid: 'owner', name: 'Olivia', kind: 'User' };

type Parts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly sealer: Sealer;
  readonly tenantUid: string;
  readonly registryUid: string;
};

/** A task that builds and pushes `<name>:v1` from a git repository. */
export function sampleTask(name: string, more: JsonObject = {}): JsonObject {
  return {
    platform: { os: 'linux' },
    step: {
      type: 'Docker',
      contextPath: 'https://git.example/team/app.git#main',
      imageNames: [`${name}:v1`],
      dockerFilePath: 'Dockerfile',
    },
    ...more,
  };
}

/** For tests: tasks of one registry, written as the control plane writes them, and their runs, ended as agents end them. */
export async function sampleTasks(parts: Parts) {
  const { database, journal, clock, registryUid } = parts;
  const registry = await findByUid(database.read, registryUid);
  if (registry === undefined) throw new Error('the sample has this registry');
  const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
  const jobs = { add: async () => {} };
  const engine = { ...parts, ids, log, jobs, tenantId: ids.guid(), region: 'here' };
  const type = registryTaskType(engine);
  const resources = new Resources(engine);
  const removals = new Removals({ ...engine, types: resourceTypes([type]) });
  const runs = new Runs({ ...engine, maxQueued: 1_000 });
  const named = (name: string) => childName(registry, type.type, name);
  const write = async (
    name: string,
    desire: (existing: Resource | undefined) => JsonObject,
    { by = author, identity }: { readonly by?: Author; readonly identity?: JsonObject } = {},
  ): Promise<Resource> => {
    const { resource } = await resources.write({
      type,
      name: named(name),
      author: by,
      desire: (existing) => ({
        location: 'local',
        tags: {},
        sku: undefined,
        identity: identity ?? existing?.identity,
        properties: desire(existing),
      }),
    });
    return resource;
  };
  return {
    type,
    runs,
    engine,
    put: (name: string, properties: JsonObject, how?: Parameters<typeof write>[2]) =>
      write(name, () => properties, how),
    /** Gives the whole properties as a merge makes them of those that are stored. */
    patch: (name: string, merge: (stored: JsonObject) => JsonObject, how?: Parameters<typeof write>[2]) =>
      write(name, (existing) => merge(existing?.properties ?? {}), how),
    remove: (name: string) => removals.begin({ id: named(name).id, author }),
    list: () => runs.list(registryUid, () => true, 1_000),
    /** As if an agent had taken it and said how it went. */
    finish: async (
      runId: string,
      outcome: Partial<RunOutcome>,
      startedAtMicros = clock.nowMicros(),
      status: 'Succeeded' | 'Failed' = 'Succeeded',
    ) => {
      await journal.transaction(async (tx, append) => {
        const row = await tx
          .updateTable('runs')
          .set({ status: 'Running', started_at: startedAtMicros })
          .where('registry_uid', '=', registryUid)
          .where('run_id', '=', runId)
          .returningAll()
          .executeTakeFirstOrThrow();
        const nowMicros = clock.nowMicros();
        const ending = {
          status,
          nowMicros,
          outcome: { ...nothingYet, ...outcome },
        } as const;
        await finishRun({ ...engine, tx, append }, row, { ...ending, actor: 'agent' });
      });
      const row = await database.read
        .selectFrom('runs')
        .selectAll()
        .where('run_id', '=', runId)
        .executeTakeFirstOrThrow();
      return { ...runOf(row), taskUid: row.task_uid };
    },
    /** A push: the tag points at the digest, and the journal says so. */
    push: async (repository: string, tag: string, digest: string) => {
      const nowMicros = clock.nowMicros();
      const at = { created_at: nowMicros, changed_at: nowMicros };
      await journal.transaction(async (tx, append) => {
        const known = await tx
          .selectFrom('repositories')
          .select('uid')
          .where('registry_uid', '=', registryUid)
          .where('name', '=', repository)
          .executeTakeFirst();
        const uid = known?.uid ?? ids.uid();
        if (known === undefined)
          await tx
            .insertInto('repositories')
            .values({ uid, registry_uid: registryUid, name: repository, ...at })
            .execute();
        const manifest = { artifact_type: null, subject_digest: null, annotations: null, media_type: 'x', size: 1 };
        await tx
          .insertInto('manifests')
          .values({ repository_uid: uid, digest, ...manifest, ...at, body: Buffer.from('x') })
          .onConflict((conflict) => conflict.doNothing())
          .execute();
        await tx
          .insertInto('tags')
          .values({ repository_uid: uid, name: tag, digest, hybrid_time: nowMicros, region: 'here', ...at })
          .onConflict((conflict) =>
            conflict.columns(['repository_uid', 'name']).doUpdateSet({ digest, changed_at: nowMicros }),
          )
          .execute();
        const data = { repository, tag, digest };
        append({ stream: streamOf(registryUid, 'here'), type: 'tag.set', version: 1, actor: 'olivia', data });
      });
    },
  };
}

/** What an agent reports of one image that was built on others. */
export function builtOn(
  image: OutputImage,
  runtime: Omit<OutputImage, 'digest'>,
  ...buildtime: readonly Omit<OutputImage, 'digest'>[]
): { readonly images: OutputImage[]; readonly dependencies: ImageDependencies[] } {
  const referenceOf = (each: Omit<OutputImage, 'digest'>) => ({
    ...each,
    reference: `${each.registry}/${each.repository}:${each.tag}`,
  });
  return {
    images: [image],
    dependencies: [{ image: referenceOf(image), runtime: referenceOf(runtime), buildtime: buildtime.map(referenceOf) }],
  };
}
