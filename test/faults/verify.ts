import { z } from 'zod';
import { sha256 } from './content.ts';
import type { Done, Entry, History, PushEntry, ReadEntry } from './history.ts';
import { disorder } from './register-order.ts';
import { isWhole, type RegistryClient } from './registry-client.ts';
import { allRegisters, readRegister } from './workload.ts';

export type Verdict = {
  /** What must never be; each line names an invariant of docs/reference/faults.md. */
  readonly violations: readonly string[];
  readonly pushes: number;
  readonly blobs: number;
  readonly deletes: number;
  readonly unknown: number;
};

export type VerifyOptions = {
  /** Blobs that no manifest references may have been collected. */
  readonly mayCollect?: boolean;
};

/**
 * Compares what clients were told with what a server answers now: I1 (durable), I2 (whole), I3 (honest), I4 (ordered),
 * I5 (gone).
 */
export async function verify(
  client: RegistryClient,
  history: History,
  { mayCollect = false }: VerifyOptions = {},
): Promise<Verdict> {
  for (const register of allRegisters) await readRegister(client, history, register);
  const entries = history.entries();
  const done = entries.filter((entry) => entry.kind !== 'violation');
  const pushes = done.filter((entry) => entry.kind === 'push');
  const blobs = done.filter((entry) => entry.kind === 'blob');
  const deletes = done.filter((entry) => entry.kind === 'delete');
  const violations = entries.flatMap((entry) => seenDuring(entry));
  const found = async (check: () => Promise<readonly string[]>) => {
    violations.push(...(await check()));
  };
  const mayBeGone = goneWithSubject(pushes, deletes);
  await inParallel(pushes, (push) => found(() => checkPush(client, push, deletes, mayBeGone)));
  const acknowledged = mayCollect ? [] : blobs.filter((entry) => entry.outcome === 'ok');
  const distinct = new Map(acknowledged.map((entry) => [`${entry.repository}@${entry.blob.digest}`, entry]));
  await inParallel([...distinct.values()], ({ repository, blob }) =>
    found(() => checkBlob(client, repository, blob.digest)),
  );
  violations.push(
    ...checkRegisters(
      pushes,
      done.filter((entry) => entry.kind === 'read'),
    ),
  );
  const ok = (list: readonly Done[]) => list.filter((entry) => entry.outcome === 'ok').length;
  return {
    violations,
    pushes: ok(pushes),
    blobs: ok(blobs),
    deletes: ok(deletes),
    unknown: done.filter((entry) => entry.outcome === 'unknown').length,
  };
}

/** Faults of the server's own making show while it runs: a wrong pull, or a failure that no fault explains. */
function seenDuring(entry: Entry): string[] {
  if (entry.kind === 'violation') return [entry.text];
  const isFailure = entry.outcome === 'refused' && (entry.status ?? 0) >= 500;
  return isFailure ? [`a ${entry.kind} was answered ${entry.status} without a fault`] : [];
}

async function checkPush(
  client: RegistryClient,
  push: Done<PushEntry>,
  deletes: readonly Done[],
  mayBeGone: (push: PushEntry) => boolean,
): Promise<readonly string[]> {
  const { repository, tag, manifest } = push;
  const touching = deletes.filter(
    (entry) =>
      entry.kind === 'delete' &&
      entry.repository === repository &&
      (entry.reference === tag || entry.reference === manifest.digest),
  );
  const deleted = touching.find((entry) => entry.outcome === 'ok');
  const isDoubtful = push.outcome !== 'ok' || touching.some((entry) => entry.outcome !== 'ok');
  const isGone = deleted?.kind === 'delete' && deleted.reference === manifest.digest;
  const name = `${repository}@${manifest.digest}`;
  const answer = await client.manifest(repository, manifest.digest);
  if (isGone) return answer.status === 404 ? [] : [`I5: ${name} was deleted and answers ${answer.status}`];
  if ((isDoubtful || mayBeGone(push)) && answer.status === 404) return [];
  if (!isWhole(answer, manifest.digest)) return [`I1: ${name} was pushed and answers ${answer.status}`];
  const faults: string[] = [];
  if (tag !== undefined && !push.isRegister) {
    const tagged = await client.manifest(repository, tag);
    if (deleted !== undefined && tagged.status !== 404) faults.push(`I5: tag ${tag} came back as ${tagged.status}`);
    if (deleted === undefined && !isDoubtful && !isWhole(tagged, manifest.digest))
      faults.push(`I1: tag ${tag} of ${name} answers ${tagged.status}`);
  }
  for (const { digest } of push.blobs) faults.push(...(await checkBlob(client, repository, digest, 'I2')));
  if (push.subject !== undefined) faults.push(...(await checkReferrer(client, push, push.subject)));
  return faults;
}

/**
 * What refers to a deleted manifest leaves with it, unless a tag of its own holds it: one with many writers may point elsewhere
 * by then, any other one may have been deleted.
 */
function goneWithSubject(pushes: readonly PushEntry[], deletes: readonly Done[]): (push: PushEntry) => boolean {
  const deleted = new Set(
    deletes.flatMap((entry) => (entry.kind === 'delete' ? [`${entry.repository} ${entry.reference}`] : [])),
  );
  const subjects = new Map(pushes.map((push) => [`${push.repository} ${push.manifest.digest}`, push]));
  const mayBeGone = (push: PushEntry): boolean => {
    const { repository, subject, tag, isRegister } = push;
    if (subject === undefined || (tag !== undefined && !isRegister && !deleted.has(`${repository} ${tag}`)))
      return false;
    const key = `${repository} ${subject}`;
    const above = subjects.get(key);
    return deleted.has(key) || (above !== undefined && mayBeGone(above));
  };
  return mayBeGone;
}

async function checkBlob(client: RegistryClient, repository: string, digest: string, rule = 'I1'): Promise<string[]> {
  const answer = await client.blob(repository, digest);
  return isWhole(answer, digest) ? [] : [`${rule}: blob ${repository}@${digest} answers ${answer.status}`];
}

const listSchema = z.object({ manifests: z.array(z.object({ digest: z.string() })) });

async function checkReferrer(client: RegistryClient, { repository, manifest }: PushEntry, subject: string) {
  let path: string | undefined = `/v2/${repository}/referrers/${subject}`;
  while (path !== undefined) {
    const { body, headers } = await client.expect(200, 'GET', path);
    const list = listSchema.parse(JSON.parse(body.toString()));
    if (list.manifests.some((referrer) => referrer.digest === manifest.digest)) return [];
    path = nextOf(headers.link);
  }
  return [`I1: ${manifest.digest} is missing from the referrers of ${subject}`];
}

function checkRegisters(pushes: readonly Done<PushEntry>[], reads: readonly Done<ReadEntry>[]): string[] {
  return allRegisters.flatMap(({ repository, tag }) => {
    const isHere = (entry: PushEntry | ReadEntry) => entry.repository === repository && entry.tag === tag;
    const fault = disorder(
      pushes.filter((push) => push.isRegister && isHere(push)),
      reads.filter((read) => read.outcome === 'ok' && isHere(read)),
    );
    return fault === undefined ? [] : [`I4: ${repository}:${tag}: ${fault}`];
  });
}

const catalogSchema = z.object({ repositories: z.array(z.string()) });
const tagsSchema = z.object({ tags: z.array(z.string()) });
const manifestSchema = z.object({
  config: z.object({ digest: z.string() }).optional(),
  layers: z.array(z.object({ digest: z.string() })).default([]),
  manifests: z.array(z.object({ digest: z.string() })).default([]),
});

/** Reads everything that the registry lists, down to each blob: I2 and I3 without knowing what was pushed. */
export async function walk(client: RegistryClient): Promise<{ readonly tags: number; readonly violations: string[] }> {
  const violations: string[] = [];
  const seen = new Set<string>();
  let tags = 0;
  const visit = async (repository: string, reference: string): Promise<void> => {
    const answer = await client.manifest(repository, reference);
    const digest = String(answer.headers['docker-content-digest']);
    if (answer.status !== 200 || sha256(answer.body) !== digest) {
      violations.push(`I2: ${repository} ${reference} answers ${answer.status}`);
      return;
    }
    if (seen.has(`${repository}@${digest}`)) return;
    seen.add(`${repository}@${digest}`);
    const { config, layers, manifests } = manifestSchema.parse(JSON.parse(answer.body.toString()));
    for (const child of manifests) await visit(repository, child.digest);
    for (const blob of [...(config === undefined ? [] : [config]), ...layers])
      violations.push(...(await checkBlob(client, repository, blob.digest, 'I2')));
  };
  for (const repository of await listed(client, '/v2/_catalog', (body) => catalogSchema.parse(body).repositories)) {
    const names = await listed(client, `/v2/${repository}/tags/list`, (body) => tagsSchema.parse(body).tags);
    tags += names.length;
    await inParallel(names, (tag) => visit(repository, tag));
  }
  return { tags, violations };
}

async function listed(client: RegistryClient, path: string, read: (body: unknown) => string[]): Promise<string[]> {
  const all: string[] = [];
  for (let next: string | undefined = path; next !== undefined; ) {
    const { body, headers } = await client.expect(200, 'GET', next);
    all.push(...read(JSON.parse(body.toString())));
    next = nextOf(headers.link);
  }
  return all;
}

/** The address in a Link header with rel="next". */
function nextOf(link: string | string[] | undefined): string | undefined {
  return /<([^>]+)>/.exec(String(link ?? ''))?.[1];
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = items.values();
  const worker = async () => {
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}
