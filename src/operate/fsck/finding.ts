/** Something in which the database and the blob store, or the database and itself, do not agree. */
export type Finding =
  /** A blob without bytes, or with too few or too many: set aside, so that the next push of its digest replaces it. */
  | (BlobFinding & { readonly kind: 'blobMissing' })
  | (BlobFinding & { readonly kind: 'blobLength'; readonly storedBytes: number })
  /** Set aside before: the next push of its digest replaces it. `mayBeWhole` while bytes of its length are there that nobody has read. */
  | (BlobFinding & { readonly kind: 'blobDamaged'; readonly mayBeWhole: boolean })
  /** Bytes that nothing names, older than the grace: removed. */
  | { readonly kind: 'unnamedBytes'; readonly key: string; readonly handle: string | undefined; readonly bytes: number }
  /** The log or the context of a build. */
  | { readonly kind: 'keptMissing'; readonly key: string; readonly sizeBytes: number }
  /** The next push of the manifest replaces its row. */
  | (ManifestFinding & { readonly kind: 'manifestDamaged' })
  /** Its bytes are those of its digest, and no manifest that this version takes: what it needs is not known. */
  | (ManifestFinding & { readonly kind: 'manifestUnreadable' })
  /** What a manifest needs and its repository does not show. */
  | (ManifestFinding & { readonly kind: 'manifestIncomplete'; readonly missing: string })
  | { readonly kind: 'tagDangling'; readonly repositoryUid: string; readonly tag: string; readonly digest: string }
  /** The bytes in use of a registry, counted anew. */
  | {
      readonly kind: 'usageWrong';
      readonly registryUid: string;
      readonly bytes: number;
      readonly rightBytes: number;
      readonly unused: readonly string[];
      readonly uncounted: readonly string[];
    }
  /** What SQLite says of its own file. */
  | { readonly kind: 'databaseDamaged'; readonly problem: string };

type BlobFinding = {
  readonly registryUid: string;
  readonly digest: string;
  readonly key: string;
  readonly sizeBytes: number;
};
type ManifestFinding = { readonly repositoryUid: string; readonly repository: string; readonly digest: string };

/** What a repair does something about without losing anything. */
export function isRepairable(finding: Finding): boolean {
  const { kind } = finding;
  if (kind === 'blobDamaged') return finding.mayBeWhole;
  return kind === 'blobMissing' || kind === 'blobLength' || kind === 'unnamedBytes' || kind === 'usageWrong';
}

/** One line for people: what is wrong, and what would put it right. */
export function findingText(finding: Finding): string {
  switch (finding.kind) {
    case 'blobMissing':
      return `${finding.digest}: its ${finding.sizeBytes} bytes are missing (${finding.key}); push it again`;
    case 'blobLength':
      return `${finding.digest}: ${finding.storedBytes} bytes are stored instead of ${finding.sizeBytes} (${finding.key}); push it again`;
    case 'blobDamaged':
      return finding.mayBeWhole
        ? `${finding.digest}: set aside, and bytes of its length are there (${finding.key}); a repair reads them`
        : `${finding.digest}: set aside because its bytes were wrong or missing; push it again`;
    case 'keptMissing':
      return `${finding.key}: the log or context of a build, its ${finding.sizeBytes} bytes are missing`;
    case 'unnamedBytes':
      return `${finding.key}: ${finding.bytes} bytes that nothing names`;
    case 'manifestDamaged':
      return `${finding.repository}@${finding.digest}: its bytes are not those of its digest; push it again`;
    case 'manifestUnreadable':
      return `${finding.repository}@${finding.digest}: its bytes are those that were pushed, and no manifest that this version can read`;
    case 'manifestIncomplete':
      return `${finding.repository}@${finding.digest}: needs ${finding.missing}, which is not there; push it again`;
    case 'tagDangling':
      return `tag ${finding.tag}: points at ${finding.digest}, which is not there; push it again`;
    case 'usageWrong':
      return `registry ${finding.registryUid}: ${finding.bytes} bytes are counted as in use, and ${finding.rightBytes} are`;
    case 'databaseDamaged':
      return `the database file is damaged: ${finding.problem}; restore a backup`;
  }
}
