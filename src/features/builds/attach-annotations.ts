import { createHash } from 'node:crypto';
import { type Digest, digestOf, parseDigest } from '../../core/digest.ts';
import { mediaTypes } from '../../core/media-types.ts';
import type { Authority } from '../access/authority.ts';
import type { Place } from '../content/place.ts';
import type { AnnotateWords } from './annotate-words.ts';
import type { BuiltInParts } from './built-in-call.ts';

/** What is attached in one repository, and with which rights. */
export type Annotating = {
  readonly place: Place;
  readonly words: AnnotateWords;
  readonly reading: Authority;
  readonly pushing: Authority;
};

/** An image has one of these: what it says is not said again. Source: Azure/acr-cli. */
const lifecycleType = 'application/vnd.microsoft.artifact.lifecycle';

/** Configuration and content of an artifact that is nothing but its annotations. Source: OCI image specification, "Guidance for an empty descriptor". */
const empty = Buffer.from('{}');
const emptyDescriptor = {
  mediaType: 'application/vnd.oci.empty.v1+json',
  digest: sha256(empty),
  size: empty.byteLength,
};

/** Whether a manifest has what would be attached to it. */
export async function isAnnotated(
  { listings }: Pick<BuiltInParts, 'listings'>,
  { place, words: { artifactType }, reading }: Annotating,
  digest: string,
): Promise<boolean> {
  if (artifactType !== lifecycleType) return false;
  const page = { limit: 1, last: '' };
  const { entries } = await listings.referrers(place, reading, { subject: parseDigest(digest), artifactType, page });
  return entries.length > 0;
}

/** False for a manifest that is gone. Throws what pushes do. Source: OCI image specification, "Guidelines for artifact usage". */
export async function attachAnnotations(
  parts: Pick<BuiltInParts, 'database' | 'uploads' | 'manifests' | 'clock'>,
  { place, words: { artifactType, annotations }, pushing }: Annotating,
  digest: string,
): Promise<boolean> {
  const { uploads, manifests, clock } = parts;
  const subject = await descriptorOf(parts, place, digest);
  if (subject === undefined) return false;
  const created = new Date(clock.nowMicros() / 1_000).toISOString().replace(/\.\d+Z$/, 'Z');
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType,
    config: emptyDescriptor,
    layers: [emptyDescriptor],
    subject,
    annotations: { 'org.opencontainers.image.created': created, ...annotations },
  };
  await uploads.push(place, pushing, emptyDescriptor.digest, { bytes: oneOf(empty), lengthBytes: empty.byteLength });
  const body = Buffer.from(JSON.stringify(manifest));
  const reference = { kind: 'digest', digest: sha256(body) } as const;
  await manifests.push(place, pushing, { body, contentType: mediaTypes.ociManifest, reference, tags: [] });
  return true;
}

/** Without asking for the manifest: that would count as a pull. */
async function descriptorOf(
  { database }: Pick<BuiltInParts, 'database'>,
  { registryUid, repository }: Place,
  digest: string,
) {
  const row = await database.read
    .selectFrom('manifests')
    .innerJoin('repositories', 'repositories.uid', 'manifests.repository_uid')
    .select(['manifests.media_type', 'manifests.size'])
    .where('repositories.registry_uid', '=', registryUid)
    .where('repositories.name', '=', repository)
    .where('manifests.digest', '=', digest)
    .executeTakeFirst();
  return row && { mediaType: row.media_type, digest, size: row.size };
}

function sha256(bytes: Uint8Array): Digest {
  return digestOf('sha256', createHash('sha256').update(bytes).digest('hex'));
}

async function* oneOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
