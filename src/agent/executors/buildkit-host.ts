import { reasonOf } from '../run-failure.ts';
import type { BuildKitSettings } from './buildkit.ts';
import { formatBuildKitAddress } from './buildkit-address.ts';
import { checkBuildKit } from './buildkit-check.ts';
import { checkHost, type HostFacts } from './check-host.ts';
import type { IsolationWish } from './container-isolation.ts';
import type { TrialPlace } from './try-room.ts';

/** What this machine can do for runs when images are built by a BuildKit. One that cannot be used is something missing. */
export async function checkHostWith(
  wish: IsolationWish,
  settings: BuildKitSettings | undefined,
  place: TrialPlace,
  signal: AbortSignal,
): Promise<HostFacts> {
  const host = await checkHost(wish, place, signal);
  if (settings === undefined) return host;
  try {
    const { version, platforms, missedFixes } = await checkBuildKit(settings);
    const words = `BuildKit ${version} at ${formatBuildKitAddress(settings.address)} builds for ${platforms.join(', ')}`;
    const note = `${words}; how it keeps builds apart is its operator's to say`;
    const lacks = `BuildKit ${version} lacks the fixes of ${missedFixes.join(', ')}: start a newer buildkitd there`;
    return {
      ...host,
      executor: `${host.executor}, BuildKit ${version}`.slice(0, 100),
      warnings: [...host.warnings, note, ...(missedFixes.length === 0 ? [] : [lacks])],
    };
  } catch (cause) {
    return { ...host, missing: [...host.missing, reasonOf(cause)] };
  }
}
