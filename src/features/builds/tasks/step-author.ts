import { canonicalJson } from '../../../platform/journal/canonical-json.ts';
import type { Author, Desired, Resource } from '../../resources/resource.ts';
import type { Change } from '../../resources/resource-type.ts';
import { contextOf, stepAuthorOf, tidy } from './task.ts';
import { customRegistriesOf, workOf } from './task-run.ts';
import { openTask, type TaskSecretParts } from './task-secrets.ts';

/**
 * Who answers for what a task does, and so lends it their rights: whoever last changed that. Who changes its timers or tags
 * alone answers for nothing that somebody else wrote into its step. Throws SealError.
 */
export function settleStepAuthor(
  parts: TaskSecretParts,
  { resource, previous }: Change,
  settled: Pick<Desired, 'identity' | 'properties'>,
): Author {
  if (previous === undefined) return resource.changedBy;
  const isSame = whatItDoes(parts, previous) === whatItDoes(parts, { ...resource, ...settled });
  return isSame ? stepAuthorOf(previous) : resource.changedBy;
}

/** With secrets; defaults are filled in, as clients send them or do not. */
function whatItDoes(parts: TaskSecretParts, resource: Resource): string {
  const task = openTask(parts, resource);
  const { step, trigger, credentials } = task;
  const { loginMode, identity } = credentials?.sourceRegistry ?? {};
  const sources = trigger?.sourceTriggers?.map(({ name, sourceTriggerEvents, sourceRepository }) => {
    const { repositoryUrl, branch } = sourceRepository;
    return { name, sourceTriggerEvents, repositoryUrl, branch };
  });
  return canonicalJson(
    tidy({
      work: step && workOf(step, {}),
      context: contextOf(task),
      contextToken: step?.contextAccessToken,
      isSignedIn: loginMode !== 'None',
      signedInAs: identity,
      customRegistries: customRegistriesOf(resource, task),
      identity: resource.identity,
      sources: sources ?? [],
    }),
  );
}
