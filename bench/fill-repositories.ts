import type { Client } from 'pg';

export type Filling = {
  readonly registryUid: string;
  readonly repositories: number;
  /** Of each repository: four fifths are images with a tag `t0`, `t1`, …; the others refer to the first of them. */
  readonly manifestsEach: number;
};

/** In one statement. */
const repositoriesAtOnce = 500;
const imageType = 'application/vnd.oci.image.manifest.v1+json';
const empty = 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a';

export function repositoryName(index: number): string {
  return `team${String(index % 100).padStart(2, '0')}/app${String(index).padStart(6, '0')}`;
}

export function imagesOf({ manifestsEach }: Filling): number {
  return manifestsEach - Math.floor(manifestsEach / 5);
}

/**
 * Writes repositories with manifests of their own digests, tags, referrers and references straight into the tables: a million pushes
 * would take hours. They name one small blob, which is not there; what is measured reads manifests and lists.
 */
export async function fillRepositories(
  client: Client,
  filling: Filling,
  progress: (line: string) => void,
): Promise<void> {
  for (let start = 0; start < filling.repositories; start += repositoriesAtOnce) {
    const end = Math.min(filling.repositories, start + repositoriesAtOnce);
    await client.query('begin');
    await client.query(repositoriesSql, [filling.registryUid, start, end - 1]);
    await client.query(imagesSql, [filling.registryUid, start, end - 1, imagesOf(filling)]);
    await client.query(tagsSql, [filling.registryUid, start, end - 1]);
    await client.query(referrersSql, [filling.registryUid, start, end - 1, filling.manifestsEach - imagesOf(filling)]);
    await client.query('commit');
    if (end % 2_000 === 0) progress(`${end} repositories`);
  }
  await client.query('vacuum analyze');
}

const name = `'team' || lpad((i % 100)::text, 2, '0') || '/app' || lpad(i::text, 6, '0')`;
const uid = `'bench' || lpad(i::text, 21, '0')`;
const now = `(extract(epoch from now()) * 1000000)::bigint`;

const repositoriesSql = `
  insert into repositories (uid, registry_uid, name, created_at, changed_at)
  select ${uid}, $1, ${name}, ${now}, ${now} from generate_series($2::int, $3::int) i`;

const descriptor = (mediaType: string) => `{"mediaType":"${mediaType}","digest":"${empty}","size":2}`;
const head = `{"schemaVersion":2,"mediaType":"${imageType}","config":${descriptor('application/vnd.oci.image.config.v1+json')},"layers":[${descriptor('application/vnd.oci.image.layer.v1.tar+gzip')}]`;

/** Each body is unique; its digest is that of its bytes, because the server compares them. */
const imagesSql = `
  with made as (
    select ${uid} as repository, n, convert_to('${head},"annotations":{"org.example.build":"' || i || '/' || n || '"}}', 'UTF8') as body
    from generate_series($2::int, $3::int) i, generate_series(0, $4::int - 1) n where $1 <> ''
  ), written as (
    insert into manifests (repository_uid, digest, media_type, size, created_at, changed_at, body)
    select repository, 'sha256:' || encode(sha256(body), 'hex'), '${imageType}', length(body), ${now} + n, ${now} + n, body from made
    returning repository_uid, digest
  )
  insert into manifest_references (repository_uid, manifest_digest, digest, kind)
  select repository_uid, digest, '${empty}', 'blob' from written`;

/** The number of a tag comes from the annotation of its image. */
const tagsSql = `
  insert into tags (repository_uid, name, digest, hybrid_time, region, created_at, changed_at)
  select m.repository_uid, 't' || substring(convert_from(m.body, 'UTF8') from '/(\\d+)"'), m.digest, m.created_at, 'home', m.created_at, m.created_at
  from manifests m join repositories r on r.uid = m.repository_uid
  join generate_series($2::int, $3::int) i on r.uid = ${uid}
  where r.registry_uid = $1`;

const referrersSql = `
  with made as (
    select ${uid} as repository, t.digest as subject, n,
      convert_to('${head},"artifactType":"application/vnd.example.sbom","subject":{"mediaType":"${imageType}","digest":"' || t.digest ||
        '","size":' || m.size || '},"annotations":{"org.example.note":"' || i || '/' || n || '"}}', 'UTF8') as body
    from generate_series($2::int, $3::int) i
    join tags t on t.repository_uid = ${uid} and t.name = 't0'
    join manifests m on m.repository_uid = t.repository_uid and m.digest = t.digest,
    generate_series(1, $4::int) n where $1 <> ''
  )
  insert into manifests (repository_uid, digest, media_type, artifact_type, size, subject_digest, annotations, created_at, changed_at, body)
  select repository, 'sha256:' || encode(sha256(body), 'hex'), '${imageType}', 'application/vnd.example.sbom', length(body), subject,
    '{"org.example.note":"' || n || '"}', ${now} + n, ${now} + n, body from made`;
