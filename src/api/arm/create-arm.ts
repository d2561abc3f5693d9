import { Hono } from 'hono';
import { createOperationRights } from '../../features/access/role-operations-source.ts';
import { roleOrphansJob } from '../../features/access/role-orphans.ts';
import { createResolveTaskRun } from '../../features/builds/tasks/resolve-task.ts';
import { convergenceJob } from '../../features/resources/convergence.ts';
import { createLocations } from '../../features/resources/locations.ts';
import { Removals } from '../../features/resources/removal.ts';
import { resourceTypes } from '../../features/resources/resource-type.ts';
import { Resources } from '../../features/resources/resources.ts';
import { createValidateByHand, type ValidateByHand } from '../../features/webhooks/manual-validation.ts';
import type { JobKind, Jobs } from '../../platform/jobs/jobs.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';
import type { Log } from '../../platform/log.ts';
import type { Outbound } from '../../platform/outbound/outbound.ts';
import type { Env } from '../middleware/env.ts';
import type { TransferLimits } from '../middleware/streams.ts';
import { agentPoolArmType } from './agent-pool-type.ts';
import { type ArmCallerParts, createArmCaller } from './arm-caller.ts';
import { armRoutes } from './arm-routes.ts';
import type { ArmType } from './arm-type.ts';
import { createDeployments } from './deployments-composition.ts';
import { registryDiagnosticSettingType } from './diagnostic-setting-type.ts';
import { registryEventSubscriptionType } from './event-subscription-type.ts';
import { federatedCredentialType } from './federated-credential-type.ts';
import { resourceGroupType } from './group-type.ts';
import { userAssignedIdentityType } from './identity-type.ts';
import { resourceLockType } from './lock-type.ts';
import { metricsRoutes } from './metrics-routes.ts';
import { containerRegistryType, type RegistryTypeParts } from './registry-type.ts';
import { armErrorBody } from './render-arm-error.ts';
import { roleAssignmentsType } from './role-assignment-type.ts';
import { createRequireAs } from './role-authority.ts';
import { customRolesType } from './role-definition-type.ts';
import { type RunActionParts, runActions } from './run-actions.ts';
import { registryRunType } from './run-type.ts';
import { scopeMapArmType } from './scope-map-type.ts';
import { taskRunArmType, taskRunFollowJob } from './task-run-type.ts';
import { registryTaskType } from './task-type.ts';
import { repositoryTokenArmType } from './token-type.ts';
import { registryWebhookType } from './webhook-type.ts';

export type CreateArmParts = RegistryTypeParts &
  ArmCallerParts & {
    readonly tenantUid: string;
    /** GUID. */
    readonly tenantId: string;
    readonly sealer: Sealer;
    readonly jobs: Pick<Jobs, 'add'>;
    readonly log: Log;
    readonly transfer: TransferLimits;
    /** Event subscriptions ask their endpoints; without a way out there are none. */
    readonly outbound?: Outbound;
    /** At which endpoints of event subscriptions can ask a login server; https when absent. */
    readonly loginServerScheme?: 'http' | 'https';
    /** Names of where diagnostic settings may send logs. */
    readonly logDestinations?: readonly string[];
    /** Runs of registries; without it there are none. */
    readonly builds?: RunActionParts['builds'];
    /** As the settings list them. */
    readonly locationNames: readonly string[];
  };

/** The control plane: its routes, the types that they serve, and its background work. */
export type Arm = {
  readonly routes: Hono<Env>;
  readonly types: readonly ArmType[];
  readonly jobKinds: readonly JobKind[];
  /** The owner of an endpoint agrees to be told of events. */
  readonly validateSubscription: ValidateByHand;
};

/** The resource manager with every type of resource; a new one is one more line here. */
export function createArm(parts: CreateArmParts): Arm {
  const { builds } = parts;
  const building = builds && { ...parts, builds, resolveTaskRun: createResolveTaskRun(parts) };
  const arm = armOf(parts, [
    resourceGroupType,
    resourceLockType,
    containerRegistryType({ ...parts, ...(building && { moreActions: runActions(building) }) }),
    ...(building === undefined
      ? []
      : [registryRunType(building), agentPoolArmType(building), taskRunArmType(building)]),
    userAssignedIdentityType(parts),
    federatedCredentialType(parts),
    registryWebhookType(parts),
    ...(parts.outbound === undefined ? [] : [registryEventSubscriptionType({ ...parts, outbound: parts.outbound })]),
    registryDiagnosticSettingType({ ...parts, logDestinations: parts.logDestinations ?? [] }),
    scopeMapArmType(parts),
    repositoryTokenArmType(parts),
    registryTaskType(parts),
    roleAssignmentsType(parts),
    customRolesType,
  ]);
  if (building === undefined) return arm;
  return { ...arm, jobKinds: [...arm.jobKinds, taskRunFollowJob(building)] };
}

/** Puts the resource manager together. */
export function armOf(parts: CreateArmParts, list: readonly ArmType[]): Arm {
  const types = resourceTypes(list);
  const removals = new Removals({ ...parts, types });
  const engine = {
    ...parts,
    types,
    removals,
    resources: new Resources(parts),
    locations: createLocations(parts.locationNames),
  };
  const operationRights = createOperationRights(parts.database, parts.tenantUid);
  const deployments = createDeployments({ ...engine, requireAs: createRequireAs(operationRights) });
  const armCaller = createArmCaller(parts, operationRights);
  const routes = new Hono<Env>();
  routes.route('/', metricsRoutes({ ...engine, armCaller }));
  routes.route('/', armRoutes({ ...engine, deployments, armCaller }));
  const convergence = convergenceJob({ ...engine, errorOf: (error) => armErrorBody(error).error });
  return {
    routes,
    types: list,
    jobKinds: [...removals.jobKinds(), convergence, ...deployments.jobKinds(), roleOrphansJob(parts)],
    validateSubscription: createValidateByHand(parts),
  };
}
