/** What cosign keeps beside an image: signatures, attestations, SBOMs. */
const kinds = ['sig', 'att', 'sbom'];

/** The manifest a tag of cosign belongs to: `sha256-<hex>.sig`, `.att` or `.sbom`. Source: cosign, "Signature specification". */
export function cosignSubject(tag: string): string | undefined {
  const match = /^(sha256|sha512)-([0-9a-f]{64,128})\.(?:sig|att|sbom)$/.exec(tag);
  return match === null ? undefined : `${match[1]}:${match[2]}`;
}

/** The tags under which cosign keeps what belongs to a manifest. */
export function cosignTags(digest: string): readonly string[] {
  return kinds.map((kind) => `${digest.replace(':', '-')}.${kind}`);
}
