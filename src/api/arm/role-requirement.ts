import { roleAssignmentType } from '../../features/access/role-definition.ts';
import type { ArmTarget } from './arm-target.ts';
import { subscriptionScope } from './arm-target.ts';
import { deploymentSegments } from './deployments-routes.ts';
import { resourceGroupType } from './group-type.ts';
import { taggedSegments } from './tag-answers.ts';

/** What a request to the resource manager needs before it is looked at. */
export type Requirement =
  /** The answer holds nothing, or only what the caller may see. */
  | { readonly kind: 'signedIn' }
  /** Any role in the subscription. */
  | { readonly kind: 'inside'; readonly scope: string }
  /** A list that leaves out what the caller may not read: empty without any role at the scope, above or inside. */
  | { readonly kind: 'list'; readonly scope: string }
  | {
      readonly kind: 'operation';
      readonly operation: string;
      readonly scope: string;
      /** What conditions may ask about. */
      readonly attributes?: ReadonlyMap<string, string>;
      /** They are not known yet: whoever reads the body asks again. */
      readonly isDecidedLater?: true;
    };

const groupOperations = 'Microsoft.Resources/subscriptions/resourceGroups';

/**
 * The operation and scope that a method and address stand for; the segments are decoded. Throws `resourceTypeUnknown` for an
 * address that stands for nothing. Source: Azure resource provider operations.
 */
export function requirementOf(
  method: string,
  segments: readonly string[],
  parseTarget: (subscriptionId: string) => ArmTarget,
): Requirement {
  const [root = '', subscriptionId, ...rest] = segments;
  if (root.toLowerCase() !== 'subscriptions' || subscriptionId === undefined) return { kind: 'signedIn' };
  const scope = subscriptionScope(subscriptionId).id;
  return (
    inSubscription(method, scope, rest) ??
    ofDeployment(method, scope, rest) ??
    ofTags(method, segments) ??
    targetRequirement(method, asTyped(parseTarget(subscriptionId), segments))
  );
}

function inSubscription(method: string, scope: string, rest: readonly string[]): Requirement | undefined {
  const words = rest.map((each) => each.toLowerCase());
  const [first, second = '', third, fourth] = words;
  switch (first) {
    case undefined:
    case 'locations':
    case 'operationstatuses':
    case 'operationresults':
      return { kind: 'inside', scope };
    case 'resources':
      return { kind: 'list', scope };
    case 'providers':
      if (third === undefined || third === 'checknameavailability') return { kind: 'inside', scope };
      if (rest.length > 3 || !['register', 'unregister'].includes(third)) return undefined;
      return { kind: 'operation', operation: `${rest[1]}/${third}/action`, scope };
    case 'resourcegroups': {
      const group = `${scope}/resourceGroups/${rest[1]}`;
      if (fourth !== undefined || second === '') return undefined;
      if (third === 'resources') return { kind: 'list', scope: group };
      if (third === undefined || method !== 'POST') return undefined;
      return { kind: 'operation', operation: `${groupOperations}/${rest[2]}/action`, scope: group };
    }
    default:
      return { kind: 'inside', scope };
  }
}

function ofDeployment(method: string, scope: string, rest: readonly string[]): Requirement | undefined {
  const behind = deploymentSegments(rest);
  if (behind === undefined) return undefined;
  const group = `${scope}/resourceGroups/${rest[1]}`;
  const type = 'Microsoft.Resources/deployments';
  const [name, word] = behind;
  if (name === undefined) return { kind: 'operation', operation: `${type}/read`, scope: group };
  const at = `${group}/providers/${type}/${name}`;
  if (word === undefined) return { kind: 'operation', operation: `${type}/${verbOf(method)}`, scope: at };
  const operation = method === 'POST' ? `${type}/${word}/action` : `${type}/${word}/read`;
  return { kind: 'operation', operation, scope: at };
}

function ofTags(method: string, segments: readonly string[]): Requirement | undefined {
  const tagged = taggedSegments(segments);
  if (tagged === undefined) return undefined;
  return { kind: 'operation', operation: `Microsoft.Resources/tags/${verbOf(method)}`, scope: `/${tagged.join('/')}` };
}

/** The word of an action as it was typed: people read it in a denial. */
function asTyped(target: ArmTarget, segments: readonly string[]): ArmTarget {
  return target.kind === 'action' ? { ...target, word: segments.at(-1) ?? target.word } : target;
}

/** What a method needs on what an address below a subscription stands for. */
export function targetRequirement(method: string, target: ArmTarget): Requirement {
  switch (target.kind) {
    case 'collection':
      return { kind: 'list', scope: target.scope.id };
    case 'action': {
      const verb = method === 'POST' ? 'action' : 'read';
      const operation = `${operationsOf(target.type.type)}/${target.word}/${verb}`;
      return { kind: 'operation', operation, scope: target.name.id };
    }
    case 'resource': {
      const operation = resourceOperation(target.type.type, method);
      const scope = scopeOf(target);
      const isAssigning = target.type.type === roleAssignmentType && verbOf(method) !== 'read';
      return { kind: 'operation', operation, scope, ...(isAssigning ? { isDecidedLater: true } : {}) };
    }
  }
}

/** `Microsoft.ContainerRegistry/registries/write` for a PUT on a registry. */
export function resourceOperation(type: string, method: string): string {
  return `${operationsOf(type)}/${verbOf(method)}`;
}

/** Types whose operations are named otherwise than they are. */
function operationsOf(type: string): string {
  return type === resourceGroupType.type ? groupOperations : type;
}

/** A role is assigned at a scope, and that is where one must be allowed to; other things are at their own id. */
function scopeOf({ type, name }: Extract<ArmTarget, { readonly kind: 'resource' }>): string {
  return type.type === roleAssignmentType ? name.parentId : name.id;
}

function verbOf(method: string): 'read' | 'write' | 'delete' {
  switch (method) {
    case 'GET':
    case 'HEAD':
      return 'read';
    case 'DELETE':
      return 'delete';
    default:
      return 'write';
  }
}
