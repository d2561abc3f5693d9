import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import type { BuildKitSettings } from './buildkit.ts';
import { parseBuildKitAddress } from './buildkit-address.ts';
import type { Attestations } from './buildkit-words.ts';

/** As an operator sets them. */
export type BuildKitTexts = {
  readonly address: string | undefined;
  /** A folder with ca.pem, cert.pem and key.pem, as `buildctl --tlsdir` has it. */
  readonly tlsFolder: string | undefined;
  readonly program: string;
  readonly provenance: Attestations['provenance'];
  readonly sbomGenerator: string | undefined;
};

/**
 * Undefined where no address is set: then buildah builds. Throws TypeError for an address that is malformed, or is reached
 * over a network without TLS, where tokens and files of runs would be read by others.
 */
export function buildKitSettings(texts: BuildKitTexts): BuildKitSettings | undefined {
  const { address: text, tlsFolder, program, provenance, sbomGenerator } = texts;
  if (text === undefined) return undefined;
  const file = (name: string) => join(tlsFolder ?? '', name);
  const tls =
    tlsFolder === undefined ? undefined : { ca: file('ca.pem'), certificate: file('cert.pem'), key: file('key.pem') };
  const address = parseBuildKitAddress(text, tls);
  if (address.kind === 'tcp' && tls === undefined && !isThisMachine(address.host)) {
    throw new TypeError(
      `${text} needs TLS, as it is another machine: give --buildkit-tls a folder with ca.pem, cert.pem and key.pem`,
    );
  }
  return { address, program, attestations: { provenance, sbomGenerator } };
}

function isThisMachine(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}
