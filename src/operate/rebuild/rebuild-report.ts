import type { RebuildAccount } from './rebuild.ts';

/** What a blob store cannot tell, for the people who set it up. */
const unknown = [
  'people, groups, programs and their secrets: the owner and the admin accounts have new passwords (bootstrap.json)',
  'role assignments, custom roles, scope maps, repository tokens and identities',
  'settings of registries: admin account and anonymous pull are off, network rules and policies are the defaults',
  'resource groups, tags and locks of resources: all registries are in the first group',
  'webhooks and event subscriptions',
  'deleted content that could still have been restored',
  'the journal, the audit, what tags pointed at before, when something was pulled last',
  'uploads that were under way, and what was pushed or deleted in the last seconds',
];

/** Whether everything that is known was found whole. */
export function isComplete({ scanned, registries, doubts }: RebuildAccount): boolean {
  const isMissing = scanned.unreadable.length > 0 || registries.some(({ missing }) => missing.length > 0);
  return !isMissing && doubts.unreadable.length === 0 && doubts.unfinished.length === 0;
}

/** The account of a rebuild, in lines for people. */
export function rebuildReport({ scanned, registries, strays, doubts }: RebuildAccount): string[] {
  return [
    `read ${scanned.blobs} blobs (${scanned.bytes} bytes) and their digests; ${scanned.unfinished} were unfinished`,
    ...scanned.unreadable.map(
      (key) => `not readable: the blob ${key}; save what can be saved before a server starts here`,
    ),
    ...registries.map(
      ({ name, repositories, manifests, tags }) =>
        `registry ${name}: ${repositories} repositories, ${manifests} manifests, ${tags} tags`,
    ),
    ...registries.flatMap(({ missing }) =>
      missing.map(({ kind, registry, repository, digest }) => `missing ${kind}: ${registry}/${repository}@${digest}`),
    ),
    ...doubts.unreadable.map((name) => `not all of the note ${name} could be read: what it said alone is unknown`),
    ...doubts.unfinished.map(
      (uid) => `the first inventory of the registry ${uid} was not finished: more may be missing`,
    ),
    ...(strays.blobs > 0
      ? [`${strays.blobs} blobs (${strays.bytes} bytes) belong to nothing that is known: kept for 30 days`]
      : []),
    'unknown, to be set up again:',
    ...unknown.map((line) => `  ${line}`),
  ];
}
