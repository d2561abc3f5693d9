import { z } from 'zod';
import type { Digest } from '../../core/digest.ts';
import { type Descriptor, parseManifest } from '../../core/manifest.ts';
import type { BlobStore } from '../../platform/blob-store/blob-store.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Log } from '../../platform/log.ts';

/** What a manifest and its configuration say, as lists show it. Source: ACR semantics, 4.2. */
const factsSchema = z.object({
  /** Bytes: config and layers of an image, the manifests that an index lists. */
  imageSize: z.number(),
  configMediaType: z.string().optional(),
  architecture: z.string().optional(),
  os: z.string().optional(),
  /** Of an index. */
  references: z
    .array(z.object({ digest: z.string(), architecture: z.string().optional(), os: z.string().optional() }))
    .optional(),
});
export type ManifestFacts = z.infer<typeof factsSchema>;

/** Configurations that name a platform. */
const imageConfigTypes = ['application/vnd.oci.image.config.v1+json', 'application/vnd.docker.container.image.v1+json'];
/** Bytes; larger than any real configuration. */
const maxConfigBytes = 1024 * 1024;
const maxPlatformLength = 100;
/** Configurations read at once. */
const readersAtOnce = 16;

export type FactsParts = { readonly database: Database; readonly store: BlobStore; readonly log: Log };

/**
 * The facts of manifests. They never change, so they are read when they are first asked for, which keeps pushes quick, and
 * stored; where a configuration cannot be read now they go without a platform and are read again the next time.
 */
export async function factsOf(
  parts: FactsParts,
  at: { readonly registryUid: string; readonly repositoryUid: string },
  digests: readonly Digest[],
): Promise<ReadonlyMap<string, ManifestFacts>> {
  if (digests.length === 0) return new Map();
  const rows = await parts.database.read
    .selectFrom('manifest_facts')
    .where('repository_uid', '=', at.repositoryUid)
    .where('digest', 'in', digests)
    .select(['digest', 'facts'])
    .execute();
  const known = new Map(rows.map((row) => [row.digest, factsSchema.parse(JSON.parse(row.facts))]));
  const unread = digests.filter((digest) => !known.has(digest));
  if (unread.length === 0) return known;
  const found = await readFacts(parts, at, unread);
  await storeFacts(parts.database, at.repositoryUid, found);
  return new Map([...known, ...found.map(({ digest, facts }) => [digest, facts] as const)]);
}

type Found = { readonly digest: string; readonly facts: ManifestFacts; readonly isWhole: boolean };

async function readFacts(
  parts: FactsParts,
  at: { readonly registryUid: string; readonly repositoryUid: string },
  digests: readonly Digest[],
): Promise<Found[]> {
  const rows = await parts.database.read
    .selectFrom('manifests')
    .where('repository_uid', '=', at.repositoryUid)
    .where('digest', 'in', digests)
    .select(['digest', 'media_type', 'body'])
    .execute();
  const found: Found[] = [];
  for (let start = 0; start < rows.length; start += readersAtOnce) {
    const some = rows.slice(start, start + readersAtOnce).map(async (row): Promise<Found> => {
      const { facts, config } = factsOfBody(row.body, row.media_type);
      const platform = config === undefined ? {} : await platformOf(parts, at, config);
      return { digest: row.digest, facts: { ...facts, ...platform }, isWhole: platform !== undefined };
    });
    found.push(...(await Promise.all(some)));
  }
  return found;
}

/** `config` is set where it is worth reading. */
function factsOfBody(body: Uint8Array, mediaType: string): { facts: ManifestFacts; config: Descriptor | undefined } {
  const { kind, config, blobs, nonDistributable, children } = parseManifest(body, mediaType);
  if (kind === 'index') {
    const references = children.map(({ digest, platform }) => ({
      digest,
      ...(platform && { architecture: platform.architecture, os: platform.os }),
    }));
    return { facts: { imageSize: sizeOf(children), references }, config: undefined };
  }
  const configMediaType = config === undefined ? {} : { configMediaType: config.mediaType };
  return {
    facts: { imageSize: sizeOf([...blobs, ...nonDistributable]), ...configMediaType },
    config: config !== undefined && imageConfigTypes.includes(config.mediaType) ? config : undefined,
  };
}

/** Clients may claim any size. */
function sizeOf(descriptors: readonly Descriptor[]): number {
  return Math.min(
    descriptors.reduce((sum, { size }) => sum + size, 0),
    Number.MAX_SAFE_INTEGER,
  );
}

/** Undefined when the configuration cannot be read now. */
async function platformOf(
  { database, store, log }: FactsParts,
  at: { readonly registryUid: string },
  { digest }: Descriptor,
): Promise<Pick<ManifestFacts, 'architecture' | 'os'> | undefined> {
  const blob = await database.read
    .selectFrom('blobs')
    .where('registry_uid', '=', at.registryUid)
    .where('digest', '=', digest)
    .where('state', '=', 'ready')
    .select(['storage_key', 'size'])
    .executeTakeFirst();
  if (blob === undefined) return undefined;
  if (blob.size > maxConfigBytes) return {};
  try {
    const chunks = await Array.fromAsync(store.read(blob.storage_key));
    return platformIn(Buffer.concat(chunks).toString('utf8'));
  } catch (error) {
    log.warn('a configuration could not be read for its platform', { digest, error });
    return undefined;
  }
}

function platformIn(text: string): Pick<ManifestFacts, 'architecture' | 'os'> {
  const { architecture, os } = configSchema.safeParse(parsed(text)).data ?? {};
  return { ...(architecture && { architecture }), ...(os && { os }) };
}

const platformText = z.string().min(1).max(maxPlatformLength).optional().catch(undefined);
const configSchema = z.object({ architecture: platformText, os: platformText });

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // No configuration that any runtime could read; it names no platform.
    return undefined;
  }
}

/** A manifest that was deleted meanwhile has none. */
async function storeFacts(database: Database, repositoryUid: string, found: readonly Found[]): Promise<void> {
  const whole = found.filter(({ isWhole }) => isWhole);
  if (whole.length === 0) return;
  await database.transaction(async (tx) => {
    for (const { digest, facts } of whole)
      await tx
        .insertInto('manifest_facts')
        .columns(['repository_uid', 'digest', 'facts'])
        .expression(
          tx
            .selectFrom('manifests')
            .where('repository_uid', '=', repositoryUid)
            .where('digest', '=', digest)
            .select((select) => ['repository_uid', 'digest', select.val(JSON.stringify(facts)).as('facts')]),
        )
        .onConflict((conflict) => conflict.doNothing())
        .execute();
  });
}
