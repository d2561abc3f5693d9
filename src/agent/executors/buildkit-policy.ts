/**
 * What BuildKit may fetch for a build without a network, as its source policy says it: files of the run, and images of these
 * registries. It holds for all that a build asks for (FROM, COPY --from, ADD of an address), whoever asks. The last rule that fits counts.
 * Source: BuildKit, sourcepolicy/pb/policy.proto.
 */
export function sourcePolicyOf(servers: readonly string[]): string {
  const rule = (action: 'ALLOW' | 'DENY', identifier: string) => ({ action, selector: { identifier } });
  const images = servers.map((server) => rule('ALLOW', `docker-image://${server}/*`));
  return JSON.stringify({ version: 1, rules: [rule('DENY', '*'), rule('ALLOW', 'local://*'), ...images] });
}
