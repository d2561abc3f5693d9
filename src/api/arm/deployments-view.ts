import { createHash } from 'node:crypto';
import type { Deployment, DeploymentOperation } from '../../features/deployments/deployment.ts';
import type { PropertyChange, ResourceChange } from '../../features/deployments/what-if.ts';
import { isJsonObject, type Json, type JsonObject } from '../../wire/arm/json.ts';
import { isoTime } from './resource-view.ts';

const type = 'Microsoft.Resources/deployments';

/** A deployment as its address shows it. Source: Azure Resource Manager, "Deployments - Get". */
export function deploymentView(groupId: string, deployment: Deployment): JsonObject {
  const { name, mode, parameters, outputs, state, correlationId, operations, error } = deployment;
  return {
    id: deploymentId(groupId, name),
    name,
    type,
    properties: {
      templateHash: String(
        BigInt(`0x${createHash('sha256').update(JSON.stringify(deployment.template)).digest('hex').slice(0, 16)}`),
      ),
      parameters,
      mode,
      provisioningState: state,
      timestamp: isoTime(deployment.changedAtMicros),
      duration: `PT${((deployment.changedAtMicros - deployment.createdAtMicros) / 1_000_000).toFixed(3)}S`,
      correlationId,
      providers: providersOf(operations),
      dependencies: [],
      ...(state === 'Succeeded'
        ? { outputs, outputResources: operations.filter((each) => each.type !== type).map(({ id }) => ({ id })) }
        : {}),
      ...(error === undefined ? {} : { error: plain(error) }),
    },
  };
}

/** One entry of `az deployment operation group list`. */
export function operationView(
  groupId: string,
  deployment: Deployment,
  operation: DeploymentOperation,
  index: number,
): JsonObject {
  const { id, name, type: resourceType, state, error, atMicros } = operation;
  const operationId = String(index + 1).padStart(16, '0');
  return {
    id: `${deploymentId(groupId, deployment.name)}/operations/${operationId}`,
    operationId,
    properties: {
      provisioningOperation: 'Create',
      provisioningState: state,
      timestamp: isoTime(atMicros),
      statusCode: state === 'Succeeded' ? 'OK' : 'BadRequest',
      ...(error === undefined ? {} : { statusMessage: { error: plain(error) } }),
      targetResource: { id, resourceType, resourceName: name },
    },
  };
}

/** The answer of a what-if; what is secret is struck out. */
export function whatIfView(
  changes: readonly ResourceChange[],
  secrets: readonly string[],
  isIdOnly: boolean,
): JsonObject {
  const shown = changes.map(({ resourceId, changeType, before, after, delta }) => ({
    resourceId,
    changeType,
    ...(isIdOnly || before === undefined ? {} : { before }),
    ...(isIdOnly || after === undefined ? {} : { after }),
    ...(isIdOnly || delta === undefined ? {} : { delta: delta.map(plainChange) }),
  }));
  return { status: 'Succeeded', properties: { changes: shown.map((each) => struckOut(each, secrets)) } };
}

export function deploymentId(groupId: string, name: string): string {
  return `${groupId}/providers/${type}/${name}`;
}

function plainChange({ path, propertyChangeType, before, after, children }: PropertyChange): JsonObject {
  return {
    path,
    propertyChangeType,
    ...(before === undefined ? {} : { before }),
    ...(after === undefined ? {} : { after }),
    ...(children === undefined ? {} : { children: children.map(plainChange) }),
  };
}

function struckOut(value: Json, secrets: readonly string[]): Json {
  if (typeof value === 'string') return secrets.reduce((text, secret) => text.replaceAll(secret, '*******'), value);
  if (isJsonObject(value))
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, struckOut(each, secrets)]));
  return Array.isArray(value) ? value.map((each: Json) => struckOut(each, secrets)) : value;
}

function providersOf(operations: readonly DeploymentOperation[]): Json[] {
  const types = [...new Set(operations.map((each) => each.type))].filter((each) => each !== type);
  const byNamespace = Map.groupBy(types, (each) => each.slice(0, each.indexOf('/')));
  return [...byNamespace].map(([namespace, own]) => ({
    namespace,
    resourceTypes: own.map((each) => ({ resourceType: each.slice(namespace.length + 1), locations: [] })),
  }));
}

type ErrorView = {
  readonly code: string;
  readonly message: string;
  readonly target?: string;
  readonly details?: readonly ErrorView[];
};

function plain({ code, message, target, details }: ErrorView): JsonObject {
  return {
    code,
    message,
    ...(target === undefined ? {} : { target }),
    ...(details === undefined ? {} : { details: details.map(plain) }),
  };
}
