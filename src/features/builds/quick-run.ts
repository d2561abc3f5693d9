import type { QuickRunRequest } from '../../wire/builds/run-request.ts';
import type { NamedValue, RunPlatform, RunWork } from '../../wire/builds/run-work.ts';
import { refuse } from '../resources/refuse.ts';
import type { Author } from '../resources/resource.ts';
import { customRegistryOf, namesVault, vaultFault } from './custom-registry.ts';
import type { CustomRegistry, NewRun, RunAuthority, VaultAccess } from './run.ts';

/** Cores of a run that names no number. Source: ACR tasks, 3.1. */
const defaultCpus = 2;

export type QuickRunOf = {
  readonly registryUid: string;
  /** Whether rights go by repository: a run then works with its caller's rights only where the request says so. */
  readonly isByRepository: boolean;
  readonly request: QuickRunRequest;
  readonly author: Author;
  /** Of a run that is a resource with an identity. */
  readonly vaultAccess?: VaultAccess;
};

/** The run that somebody asks for in full. Throws `runRequestInvalid`. Source: ACR tasks, 1.1, 2.12. */
export function newQuickRun(asked: QuickRunOf): NewRun {
  const { registryUid, isByRepository, request, author, vaultAccess } = asked;
  const { agentPoolName, logTemplate } = request;
  const authority = authorityOf(request, isByRepository, author);
  return {
    registryUid,
    runType: request.type === 'DockerBuildRequest' ? 'QuickBuild' : 'QuickRun',
    work: workOf(request),
    ...runSourceOf(request.sourceLocation),
    platforms: platformsOf(request),
    timeoutSeconds: request.timeout,
    cpus: request.agentConfiguration?.cpu ?? defaultCpus,
    ...(agentPoolName ? { agentPoolName } : {}),
    ...(logTemplate ? { logTemplate } : {}),
    authority,
    customRegistries: customRegistriesOf(request, asked),
    ...(vaultAccess === undefined ? {} : { vaultAccess }),
    isArchiveEnabled: request.isArchiveEnabled,
    trigger: { kind: 'manual' },
  };
}

/** Where files come from: the path of an upload, an address, or nowhere (`/dev/null`). */
export function runSourceOf(location: string | undefined): Pick<NewRun, 'source' | 'contextPath'> {
  if (location === undefined || location === '' || location === '/dev/null') return { source: { kind: 'none' } };
  if (isUploadPath(location)) return { source: { kind: 'upload' }, contextPath: location };
  return { source: { kind: 'remote', location } };
}

/** The form of the paths that uploads are given. */
export function isUploadPath(location: string): boolean {
  return /^source\/\d{12}\/[0-9a-f-]{36}\.tar\.gz$/.test(location);
}

function workOf(request: QuickRunRequest): RunWork {
  switch (request.type) {
    case 'DockerBuildRequest': {
      const { dockerFilePath, imageNames, isPushEnabled, noCache, target } = request;
      return {
        kind: 'dockerBuild',
        dockerFile: dockerFilePath,
        imageNames,
        isPushEnabled,
        noCache,
        ...(target ? { target } : {}),
        arguments: request.arguments,
      };
    }
    case 'FileTaskRunRequest': {
      const { taskFilePath, valuesFilePath, values } = request;
      return {
        kind: 'fileTask',
        taskFile: taskFilePath,
        ...(valuesFilePath ? { valuesFile: valuesFilePath } : {}),
        values,
      };
    }
    case 'EncodedTaskRunRequest': {
      const { encodedTaskContent, encodedValuesContent, values } = request;
      return {
        kind: 'encodedTask',
        content: decoded(encodedTaskContent),
        ...(encodedValuesContent ? { valuesContent: decoded(encodedValuesContent) } : {}),
        values: values satisfies NamedValue[],
      };
    }
  }
}

function platformsOf({ platform, platforms }: QuickRunRequest): RunPlatform[] {
  const asked = platforms ?? [platform ?? { os: 'linux', architecture: 'amd64' }];
  if (asked.some(({ os }) => os === 'windows'))
    throw refuse('runRequestInvalid', {
      message: 'This installation runs Linux agents only: ask for the platform linux.',
      target: 'platform.os',
    });
  return asked;
}

function authorityOf({ credentials }: QuickRunRequest, isByRepository: boolean, author: Author): RunAuthority {
  const { loginMode, identity } = credentials.sourceRegistry ?? {};
  const named = identity?.toLowerCase();
  if (loginMode?.toLowerCase() === 'none' || named === 'none') return { kind: 'none' };
  if (named !== undefined && named !== '[caller]')
    throw refuse('runRequestInvalid', {
      message: `A run that is asked for in full works with the rights of its caller: '${identity}' is for tasks. Use [caller] or none.`,
      target: 'credentials.sourceRegistry.identity',
    });
  if (named === undefined && isByRepository) return { kind: 'none' };
  return {
    kind: 'principal',
    principalId: author.uid,
    principalType: author.kind === 'User' ? 'User' : 'ServicePrincipal',
  };
}

function customRegistriesOf({ credentials }: QuickRunRequest, { author, vaultAccess }: QuickRunOf): CustomRegistry[] {
  return Object.entries(credentials.customRegistries ?? {}).map(([server, written]) => {
    const fault = namesVault(written) && vaultAccess === undefined ? ofNobody(server) : vaultFault(server, written);
    if (fault !== undefined)
      throw refuse('runRequestInvalid', { message: fault, target: 'credentials.customRegistries' });
    return {
      ...customRegistryOf(server, written),
      ...(written.identity?.toLowerCase() === '[caller]' ? { principalUid: author.uid } : {}),
    };
  });
}

function ofNobody(server: string): string {
  return `The credential of '${server}' names a secret of a key vault, which identities of tasks read, and this run has none: give user name and password themselves, of type Opaque, or make it a task (az acr task create, az acr task credential add).`;
}

function decoded(base64: string): string {
  return Buffer.from(base64, 'base64').toString('utf8');
}
