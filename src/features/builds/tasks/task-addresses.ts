import type { Resource } from '../../resources/resource.ts';
import { withoutCredentials } from '../triggers/repository-path.ts';
import { storedTaskOf, tidy } from './task.ts';

/**
 * A task with the addresses as they are stored, where the given ones are what is shown of those: people write access tokens
 * into addresses, which are shown without, and whoever writes back what they were shown takes no token away.
 */
export function withStoredAddresses(written: Resource, previous: Resource | undefined): Resource {
  if (previous === undefined) return written;
  const { step, trigger, ...task } = storedTaskOf(written);
  const before = storedTaskOf(previous);
  const contextPath = step?.contextPath && storedOr(step.contextPath, before.step?.contextPath ?? undefined);
  const sourceTriggers = trigger?.sourceTriggers?.map((each) => {
    const same = before.trigger?.sourceTriggers?.find(({ name }) => name.toLowerCase() === each.name.toLowerCase());
    const { sourceRepository } = each;
    const repositoryUrl = storedOr(sourceRepository.repositoryUrl, same?.sourceRepository.repositoryUrl);
    return { ...each, sourceRepository: { ...sourceRepository, repositoryUrl } };
  });
  const properties = tidy({
    ...task,
    ...(step && { step: { ...step, ...(contextPath && { contextPath }) } }),
    ...(trigger && { trigger: { ...trigger, ...(sourceTriggers && { sourceTriggers }) } }),
  });
  // What is kept beside a task's own properties stays.
  return { ...written, properties: { ...written.properties, ...properties } };
}

/** The stored address where the given one is what is shown of it. */
export function storedOr(given: string, stored: string | undefined): string {
  return stored !== undefined && given === withoutCredentials(stored) ? stored : given;
}
