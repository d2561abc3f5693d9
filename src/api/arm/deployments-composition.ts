import { Deployments, type DeploymentsParts } from '../../features/deployments/deployments.ts';
import type { LoginServerOf } from '../../features/registries/registry-store.ts';
import { deploymentForecast, deploymentHost, type HostParts, resourceAt } from './deployments-host.ts';
import { armErrorBody } from './render-arm-error.ts';
import { genericView } from './resource-view.ts';
import { targetRequirement } from './role-requirement.ts';

export type CreateDeploymentsParts = HostParts &
  Pick<DeploymentsParts, 'clock' | 'ids' | 'sealer' | 'jobs' | 'log' | 'tenantId'> & {
    readonly loginServerOf: LoginServerOf;
  };

/** Deployments over the resource types of the control plane. */
export function createDeployments(parts: CreateDeploymentsParts): Deployments {
  return new Deployments({
    ...parts,
    hostOf: (author) => deploymentHost(parts, author),
    forecastOf: (author) => deploymentForecast(parts, author),
    isReplaceable: ({ type }) => parts.types.find(type)?.level === 'group',
    remove: async (id, author) => {
      const target = await resourceAt(parts, id);
      (await parts.requireAs(author))(targetRequirement('DELETE', target));
      await parts.removals.begin({ id, author });
    },
    describe: (resource) => genericView(resource),
    errorOf: (error) => armErrorBody(error).error,
    environment: { name: 'Berth', suffixes: { acrLoginServer: parts.loginServerOf('') } },
  });
}
