import type { RunOrder } from '../../wire/builds/agent-protocol.ts';
import { RunFailure } from '../run-failure.ts';
import type { HostFacts } from './check-host.ts';

type Trust = Pick<RunOrder, 'credentials'> & { readonly variables: Pick<RunOrder['variables'], 'TriggeredBy'> };

type Host = Pick<HostFacts, 'unpatched' | 'unasked'> & { readonly hasBuildKit: boolean };

/** Strangers make pull requests from forks, which the server lends nothing. */
export function isOfStranger({ variables, credentials }: Trust): boolean {
  return variables.TriggeredBy === 'Pull Request' && credentials.length === 0;
}

/**
 * Throws RunFailure for a run of a stranger where a build could leave its container by a way that is known, or would share a
 * BuildKit with builds that are trusted: unless the operator takes that. Nobody has taken what became of an agent unasked.
 */
export function refuseStrangers(order: Trust, { unpatched, unasked, hasBuildKit }: Host, isTaken: boolean): void {
  if (!isOfStranger(order)) return;
  const refused = 'pull requests from forks are refused on this agent';
  if (unasked !== undefined)
    throw new RunFailure(
      `${refused}: ${unasked}. Its warnings and "berth agent --check" there say what would help; --build-isolation chroot with BERTH_BUILD_UNPATCHED_PULL_REQUESTS=on lets it build them as it is`,
    );
  if (isTaken) return;
  const help = 'or let it build them as it is (BERTH_BUILD_UNPATCHED_PULL_REQUESTS=on)';
  if (hasBuildKit)
    throw new RunFailure(
      `${refused}: its BuildKit builds for others too, and reaches what this agent keeps from builds. Give the pool of their task an agent without --buildkit, ${help}`,
    );
  if (unpatched.length === 0) return;
  throw new RunFailure(
    `${refused}: ${unpatched.join('; ')}. Install newer ones where it runs (script/build-tools), ${help}`,
  );
}
