import type { RunOrder } from '../../wire/builds/agent-protocol.ts';
import { RunFailure } from '../run-failure.ts';
import type { HostFacts } from './check-host.ts';

type Trust = Pick<RunOrder, 'credentials'> & { readonly variables: Pick<RunOrder['variables'], 'TriggeredBy'> };

type Host = Pick<HostFacts, 'unpatched'> & { readonly hasBuildKit: boolean };

/** Strangers make pull requests from forks, which the server lends nothing. */
export function isOfStranger({ variables, credentials }: Trust): boolean {
  return variables.TriggeredBy === 'Pull Request' && credentials.length === 0;
}

/**
 * Throws RunFailure for a run of a stranger where a build could leave its container by a way that is known, or would share a
 * BuildKit with builds that are trusted: unless the operator takes that.
 */
export function refuseStrangers(order: Trust, { unpatched, hasBuildKit }: Host, isTaken: boolean): void {
  if (isTaken || !isOfStranger(order)) return;
  const help = 'or let it build them as it is (BERTH_BUILD_UNPATCHED_PULL_REQUESTS=on)';
  if (hasBuildKit)
    throw new RunFailure(
      `pull requests from forks are refused on this agent: its BuildKit builds for others too, and reaches what this agent keeps from builds. Give the pool of their task an agent without --buildkit, ${help}`,
    );
  if (unpatched.length === 0) return;
  throw new RunFailure(
    `pull requests from forks are refused on this agent: ${unpatched.join('; ')}. Install newer ones where it runs (script/build-tools), ${help}`,
  );
}
