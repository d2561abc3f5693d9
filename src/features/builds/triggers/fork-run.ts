import type { RunWork } from '../../../wire/builds/run-work.ts';
import type { NewRun } from '../run.ts';
import { withoutCredentials } from './repository-path.ts';

/**
 * The run of a pull request from a fork: a stranger wrote what it does, so nothing is lent to it. It has no rights in any
 * registry (it pulls what everybody may, and neither pushes nor writes caches), no secret values, nothing of key vaults, and no access token, with which
 * its submodules could be other repositories of the same host. Source: security rule 20; ACR tasks, 4.2.
 */
export function ofStranger(run: NewRun): NewRun {
  const { source } = run;
  return {
    ...run,
    work: withoutSecrets(run.work),
    source: source.kind === 'remote' ? withoutToken(source) : source,
    authority: { kind: 'none' },
    customRegistries: [],
    vaultAccess: { kind: 'none', reason: 'stranger' },
  };
}

/** Also without one that is written into the address. */
function withoutToken({
  accessToken: _accessToken,
  location,
  ...source
}: Extract<NewRun['source'], { kind: 'remote' }>): NewRun['source'] {
  return { ...source, location: withoutCredentials(location) };
}

/** What would be pushed is built, to see whether it can be. */
function withoutSecrets(work: RunWork): RunWork {
  return work.kind === 'dockerBuild'
    ? { ...work, isPushEnabled: false, arguments: work.arguments.filter(({ isSecret }) => !isSecret) }
    : { ...work, values: work.values.filter(({ isSecret }) => !isSecret) };
}
