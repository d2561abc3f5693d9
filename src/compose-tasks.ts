import type { Builds } from './compose-builds.ts';
import type { Features } from './compose-features.ts';
import { BaseImages } from './features/builds/triggers/base-images.ts';
import { basePollJob, basePollWork } from './features/builds/triggers/base-poll.ts';
import { baseUpdateCallKind } from './features/builds/triggers/base-update-calls.ts';
import { BuildTriggers } from './features/builds/triggers/build-triggers.ts';
import { type DueWorkParts, watchDueWork } from './features/builds/triggers/due-work.ts';
import { gitPollJob, gitPollWork } from './features/builds/triggers/git-poll.ts';
import { GitSources } from './features/builds/triggers/git-sources.ts';
import { providerHooksKind } from './features/builds/triggers/provider-hooks.ts';
import { Rebuilds } from './features/builds/triggers/rebuilds.ts';
import { timersJob, timersWork } from './features/builds/triggers/timers.ts';
import type { Data } from './open-data.ts';
import type { JobKind } from './platform/jobs/jobs.ts';
import { publicPortOf, type Settings } from './settings.ts';

export type Tasks = ReturnType<typeof composeTasks>;

/** What starts the tasks of registries: the clock, git repositories, base images. */
export function composeTasks(
  settings: Settings,
  data: Data,
  { directory }: Pick<Features, 'directory'>,
  { runs, jobs }: Pick<Builds, 'runs'> & Pick<DueWorkParts, 'jobs'>,
) {
  const parts = { ...data, directory, runs, jobs };
  const gitSources = new GitSources(parts);
  const baseImages = new BaseImages(parts);
  const rebuilds = new Rebuilds(parts);
  const triggers = new BuildTriggers(parts, baseImages, rebuilds);
  const hookOrigin = hookOriginOf(settings);
  /** Those that wait for other hosts: they want a runner of their own. */
  const callingKinds: readonly JobKind[] = [
    gitPollJob({ ...parts, gitSources, gitPollMs: settings.gitPollInterval }),
    basePollJob({ ...parts, baseImages, baseImagePollMs: settings.baseImagePollInterval }),
    providerHooksKind({ ...parts, hookOrigin }),
  ];
  return {
    gitSources,
    rebuilds,
    hookOrigin,
    jobKinds: [timersJob(parts)],
    callingKinds,
    /** Endpoints of tasks may all be slow: they want a runner of their own too. */
    endpointKinds: [baseUpdateCallKind(parts)],
    follow: async (signal: AbortSignal) => {
      const works = [timersWork, gitPollWork, basePollWork];
      await Promise.all([triggers.follow(signal), watchDueWork({ ...data, jobs }, works, signal)]);
    },
  };
}

/** Undefined for an installation that other machines have no name for: no host could call it. */
function hookOriginOf(settings: Settings): string | undefined {
  if (settings.gitHooksUrl !== undefined) return settings.gitHooksUrl.replace(/\/+$/, '');
  const { domain } = settings;
  if (domain === 'localhost' || domain.endsWith('.localhost')) return undefined;
  const port = publicPortOf(settings);
  return `https://management.${domain}${port === 443 ? '' : `:${port}`}`;
}
