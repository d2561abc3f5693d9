import { BerthError } from '../../core/errors.ts';
import type { BlobAddresses } from '../../features/builds/blob-addresses.ts';
import { blobContainer } from '../../features/builds/blob-addresses.ts';
import type { Contexts } from '../../features/builds/contexts.ts';
import { newQuickRun } from '../../features/builds/quick-run.ts';
import type { ResolveTaskRun } from '../../features/builds/resolve-task-run.ts';
import type { NewRun } from '../../features/builds/run.ts';
import type { Runs } from '../../features/builds/runs.ts';
import { propertiesOf } from '../../features/registries/registry-rules.ts';
import type { LoginServerOf } from '../../features/registries/registry-store.ts';
import { parseProperties } from '../../features/resources/parse-properties.ts';
import { refuse } from '../../features/resources/refuse.ts';
import type { Author, Resource } from '../../features/resources/resource.ts';
import { findResource } from '../../features/resources/resource-store.ts';
import type { Database } from '../../platform/database/database.ts';
import { type RunRequest, runRequestSchema } from '../../wire/builds/run-request.ts';
import { withoutNulls } from './arm-call.ts';
import type { ArmAction } from './arm-type.ts';
import { runView } from './run-view.ts';

export type RunActionParts = {
  readonly database: Database;
  readonly builds: {
    readonly runs: Runs;
    readonly contexts: Contexts;
    readonly addresses: BlobAddresses;
    /** `https://<registry>.blob.<domain>:<port>`, without a slash at the end. */
    readonly blobOriginOf: (registry: Resource) => string;
  };
  /** Without it there are no tasks. */
  readonly resolveTaskRun?: ResolveTaskRun;
  readonly loginServerOf: LoginServerOf;
};

/** What a registry does for builds. Source: az wire document, 2.18, 4.1. */
export function runActions(parts: RunActionParts): Readonly<Record<string, ArmAction>> {
  const { contexts, addresses, blobOriginOf, runs } = parts.builds;
  return {
    listbuildsourceuploadurl: {
      method: 'POST',
      isChange: false,
      run: async ({ resource }) => {
        const relativePath = await contexts.begin(resource.uid);
        const signed = addresses.sign(`/${blobContainer}/${relativePath}`, 'cw');
        return { uploadUrl: `${blobOriginOf(resource)}${signed}`, relativePath };
      },
    },
    schedulerun: {
      method: 'POST',
      isChange: false,
      run: async ({ resource, body, author }) => {
        const request = parseProperties(runRequestSchema, withoutNulls(body), '');
        const run = await newRunOf(parts, resource, request, author);
        return runView(resource, await runs.schedule(run));
      },
    },
  };
}

async function newRunOf(
  parts: RunActionParts,
  registry: Resource,
  request: RunRequest,
  author: Author,
): Promise<NewRun> {
  await requirePool(parts, registry, request.agentPoolName);
  if (request.type !== 'TaskRunRequest') {
    const isByRepository = propertiesOf(registry).roleAssignmentMode === 'AbacRepositoryPermissions';
    return newQuickRun({ registryUid: registry.uid, isByRepository, request, author });
  }
  if (parts.resolveTaskRun === undefined) throw new BerthError('resourceUnknown');
  return await parts.resolveTaskRun({ registry, request, author });
}

/** Nobody would ever take a run of a pool that is not there. */
async function requirePool({ database }: RunActionParts, registry: Resource, name: string | undefined): Promise<void> {
  if (name === undefined || name === '') return;
  const id = `${registry.id}/agentPools/${name}`;
  if ((await findResource(database.read, registry.tenantUid, id)) !== undefined) return;
  throw refuse('runRequestInvalid', {
    message: `The registry '${registry.name}' has no agent pool '${name}'. List them with az acr agentpool list.`,
    target: 'agentPoolName',
  });
}
