// Written by what ran in the builder: it may be anything, and long. Blanks are never those of further lines.

/** What was pushed. Source: buildpacks platform specification, "report.toml". */
export function digestIn(report: string): string | undefined {
  return /^[ \t]*digest[ \t]*=[ \t]*"(sha256:[0-9a-f]{64})"/m.exec(report)?.[1];
}

/** `reference` has the digest, `image` the name that it was found by. Source: buildpacks platform specification, "analyzed.toml". */
export function runImageIn(
  analyzed: string,
): { readonly image: string; readonly digest: string | undefined } | undefined {
  const [, after = ''] = analyzed.split(/^\[run-image\]$/m);
  const [table = ''] = after.split(/^\[/m);
  const image = /^[ \t]*image[ \t]*=[ \t]*"([^"\n]{1,1000})"/m.exec(table)?.[1];
  const digest = /^[ \t]*reference[ \t]*=[ \t]*"[^"\n]{1,1000}@(sha256:[0-9a-f]{64})"/m.exec(table)?.[1];
  return image === undefined ? undefined : { image, digest };
}
