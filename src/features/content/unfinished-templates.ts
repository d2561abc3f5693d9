import type { JobKind } from '../../platform/jobs/jobs.ts';
import type { RepositoryTemplates } from './repository-templates.ts';

/** Goes on with templates whose process ended before every repository had their rules. */
export function unfinishedTemplatesJob(templates: Pick<RepositoryTemplates, 'finish'>): JobKind {
  return {
    kind: 'content.templates',
    run: (job) => templates.finish(job),
    leaseMs: 60_000,
    maxAttempts: 5,
    everyMs: 60_000,
  };
}
