/** A way out of a container that a release of a program closed. */
type Escape = {
  readonly id: string;
  /** The first release of each line that has the fix; lines above the last of them have it too. */
  readonly fixedIn: readonly string[];
  /** Of distributions that brought the fix to an older release, as the program names itself. */
  readonly patched?: readonly string[];
};

export type ContainerProgram = 'runc' | 'buildah' | 'buildkit';

/** Source: release notes and security advisories of opencontainers/runc, containers/buildah and moby/buildkit (from 0.13 on); DSA-5615 for Debian's runc. */
const escapes: Readonly<Record<ContainerProgram, readonly Escape[]>> = {
  runc: [
    { id: 'CVE-2024-21626', fixedIn: ['1.1.12'], patched: ['1.1.5+ds1-1+deb12u1'] },
    { id: 'CVE-2024-45310', fixedIn: ['1.1.14', '1.2.0'] },
    { id: 'CVE-2025-31133', fixedIn: ['1.2.8', '1.3.3', '1.4.0'] },
    { id: 'CVE-2025-52565', fixedIn: ['1.2.8', '1.3.3', '1.4.0'] },
    { id: 'CVE-2025-52881', fixedIn: ['1.2.8', '1.3.3', '1.4.0'] },
    { id: 'CVE-2026-41579', fixedIn: ['1.4.3'] },
  ],
  buildah: [
    { id: 'CVE-2024-1753', fixedIn: ['1.33.7', '1.34.3', '1.35.1'] },
    { id: 'CVE-2024-9407', fixedIn: ['1.37.4'] },
    { id: 'CVE-2024-9675', fixedIn: ['1.37.5'] },
    { id: 'CVE-2024-11218', fixedIn: ['1.38.1'] },
    { id: 'CVE-2025-52881', fixedIn: ['1.42.1'] },
  ],
  buildkit: [
    { id: 'CVE-2026-33747', fixedIn: ['0.28.1'] },
    { id: 'CVE-2026-33748', fixedIn: ['0.28.1'] },
    { id: 'GHSA-7236-3392-c5c6', fixedIn: ['0.31.1'] },
    { id: 'GHSA-hw3h-2gp9-cxpv', fixedIn: ['0.31.2'] },
  ],
};

/** What `PROGRAM --version` says of itself: `1.4.3`; undefined where that is no release. */
export function releaseIn(versionText: string): string | undefined {
  return /\d+\.\d+\.\d+/.exec(versionText)?.[0];
}

/** The known escapes that this release lacks the fixes of: all of them when it does not say which it is. */
export function missedFixes(program: ContainerProgram, versionText: string): string[] {
  const release = releaseIn(versionText);
  return escapes[program]
    .filter(({ fixedIn, patched = [] }) => {
      if (patched.some((text) => versionText.includes(text))) return false;
      return release === undefined || !hasFix(release, fixedIn);
    })
    .map(({ id }) => id);
}

function hasFix(release: string, fixedIn: readonly string[]): boolean {
  const found = numbersOf(release);
  const sameLine = fixedIn.map(numbersOf).find((fix) => fix[0] === found[0] && fix[1] === found[1]);
  if (sameLine !== undefined) return isAtLeast(found, sameLine);
  return fixedIn.map(numbersOf).every((fix) => isAtLeast(found, fix));
}

function numbersOf(release: string): readonly number[] {
  return release.split('.').map(Number);
}

function isAtLeast(found: readonly number[], wanted: readonly number[]): boolean {
  const difference = wanted.map((part, at) => (found[at] ?? 0) - part).find((step) => step !== 0) ?? 0;
  return difference >= 0;
}
