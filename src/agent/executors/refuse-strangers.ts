import type { RunOrder } from '../../wire/builds/agent-protocol.ts';
import { RunFailure } from '../run-failure.ts';
import type { HostFacts } from './check-host.ts';

type Trust = Pick<RunOrder, 'credentials'> & { readonly variables: Pick<RunOrder['variables'], 'TriggeredBy'> };

/**
 * Throws RunFailure for a run of a stranger where a build could leave its container by a way that is known: unless the
 * operator takes that. Strangers make pull requests from forks, which the server lends nothing.
 */
export function refuseStrangers(order: Trust, { unpatched }: Pick<HostFacts, 'unpatched'>, isTaken: boolean): void {
  const isOfStranger = order.variables.TriggeredBy === 'Pull Request' && order.credentials.length === 0;
  if (isTaken || unpatched.length === 0 || !isOfStranger) return;
  throw new RunFailure(
    `pull requests from forks are refused on this agent: ${unpatched.join('; ')}. Install newer ones where it runs (script/build-tools), or let it build them as it is (BERTH_BUILD_UNPATCHED_PULL_REQUESTS=on)`,
  );
}
