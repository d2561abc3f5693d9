import type { RunOrder } from '../../wire/builds/agent-protocol.ts';
import { RunFailure } from '../run-failure.ts';
import type { HostFacts } from './check-host.ts';

/**
 * Throws RunFailure for a run of a pull request, whose author may be anybody, where a build could leave its container by a
 * way that is known: unless the operator takes that.
 */
export function refuseStrangers(
  { variables }: { readonly variables: Pick<RunOrder['variables'], 'TriggeredBy'> },
  { unpatched }: Pick<HostFacts, 'unpatched'>,
  isTaken: boolean,
): void {
  if (isTaken || unpatched.length === 0 || variables.TriggeredBy !== 'Pull Request') return;
  throw new RunFailure(
    `runs of pull requests are refused on this agent: ${unpatched.join('; ')}. Install newer ones where it runs (script/build-tools), or let it do them as it is (BERTH_BUILD_UNPATCHED_PULL_REQUESTS=on)`,
  );
}
