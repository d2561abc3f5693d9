import { z } from 'zod';
import { ProgramError, readProgram } from '../program.ts';
import { RunFailure, reasonOf } from '../run-failure.ts';
import type { BuildKitSettings } from './buildkit.ts';
import { type BuildKitAddress, connectBuildKit, formatBuildKitAddress } from './buildkit-address.ts';
import { missedFixes } from './known-escapes.ts';

export type BuildKitFacts = {
  readonly version: string;
  readonly platforms: readonly string[];
  /** Known escapes that it lacks the fixes of; none where it does not say which release it is. */
  readonly missedFixes: readonly string[];
};

/** The first with machine-readable progress, images of layers as manifests, and attestations. Source: BuildKit's releases. */
const oldestVersion = [0, 13, 0] as const;
const timeoutMs = 10_000;
const workersSchema = z.array(
  z.object({
    platforms: z.array(z.object({ os: z.string(), architecture: z.string(), variant: z.string().optional() })),
  }),
);

/** Asks a BuildKit what it is. Throws RunFailure with what is wrong and what would mend it. */
export async function checkBuildKit(settings: Pick<BuildKitSettings, 'address' | 'program'>): Promise<BuildKitFacts> {
  const { address, program } = settings;
  const name = formatBuildKitAddress(address);
  const signal = AbortSignal.timeout(timeoutMs);
  const read = (...words: readonly string[]) =>
    readProgram([program, '--addr', name, ...tlsWords(address), 'debug', ...words], {
      env: { PATH: '/usr/bin:/bin' },
      signal,
    });
  const client = await readProgram([program, '--version'], { env: {}, signal }).catch((cause: unknown) => {
    throw new RunFailure(
      `${program} is missing or does not run, and builds with BuildKit need it (${reasonOf(cause)})`,
    );
  });
  requireNew('buildctl', client, `install a newer buildctl at ${program}`);
  (await connectBuildKit(address, signal)).destroy();
  const info = await read('info').catch((cause: unknown) => refused(name, cause));
  const version = requireNew(`BuildKit at ${name}`, info, 'start a newer buildkitd there');
  const workers = await read('workers', '--format', '{{json .}}').catch((cause: unknown) => refused(name, cause));
  const platforms = workersSchema
    .parse(JSON.parse(workers))
    .flatMap((worker) => worker.platforms)
    .map(({ os, architecture, variant }) => [os, architecture, variant ?? []].flat().join('/'));
  if (platforms.length === 0) throw new RunFailure(`BuildKit at ${name} has no worker: enable one`);
  const missed = isRelease(version) ? missedFixes('buildkit', version) : [];
  return { version, platforms: [...new Set(platforms)], missedFixes: missed };
}

function tlsWords(address: BuildKitAddress): string[] {
  if (address.kind === 'unix' || address.tls === undefined) return [];
  const { ca, certificate, key } = address.tls;
  return ['--tlscacert', ca, '--tlscert', certificate, '--tlskey', key];
}

function refused(name: string, cause: unknown): never {
  const reason = cause instanceof ProgramError ? cause.output.trim() : String(cause);
  throw new RunFailure(`BuildKit at ${name} refuses: ${reason}. Check what it allows, and its TLS`);
}

function isRelease(version: string): boolean {
  return !version.startsWith('0.0.0') && version !== 'unknown';
}

/** One built without a version says 0.0.0+unknown: nothing is held against it. */
function requireNew(what: string, text: string, help: string): string {
  const found = /v(\d+\.\d+\.\d+\S*)/.exec(text)?.[1] ?? 'unknown';
  const parts = found.split(/[.+-]/).slice(0, 3).map(Number);
  if (!isRelease(found)) return found;
  const difference = oldestVersion.map((part, at) => (parts[at] ?? 0) - part).find((step) => step !== 0) ?? 0;
  if (difference >= 0) return found;
  throw new RunFailure(`${what} is ${found}, and ${oldestVersion.join('.')} is needed: ${help}`);
}
