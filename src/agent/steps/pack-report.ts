// Written by what ran in the builder: it may be anything, and long. Blanks are never those of further lines.

/** What a lifecycle leaves: `report.toml` and `analyzed.toml`; empty where there is none. */
export type PackReportTexts = { readonly report: string; readonly analyzed: string };
/** What was pushed, and what it stands on: `image` is the name that it was found by. */
export type PackReport = {
  readonly digest: string | undefined;
  readonly runImage: { readonly image: string; readonly digest: string | undefined } | undefined;
};

/** Source: buildpacks platform specification, "report.toml" and "analyzed.toml". */
export function packReportOf({ report, analyzed }: PackReportTexts): PackReport {
  return { digest: digestIn(report), runImage: runImageIn(analyzed) };
}

function digestIn(report: string): string | undefined {
  return /^[ \t]*digest[ \t]*=[ \t]*"(sha256:[0-9a-f]{64})"/m.exec(report)?.[1];
}

/** `reference` has the digest. */
function runImageIn(analyzed: string): PackReport['runImage'] {
  const [, after = ''] = analyzed.split(/^\[run-image\]$/m);
  const [table = ''] = after.split(/^\[/m);
  const image = /^[ \t]*image[ \t]*=[ \t]*"([^"\n]{1,1000})"/m.exec(table)?.[1];
  const digest = /^[ \t]*reference[ \t]*=[ \t]*"[^"\n]{1,1000}@(sha256:[0-9a-f]{64})"/m.exec(table)?.[1];
  return image === undefined ? undefined : { image, digest };
}
