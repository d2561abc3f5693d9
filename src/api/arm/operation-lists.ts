import { BerthError } from '../../core/errors.ts';
import { builtInRoles } from '../../features/access/role-built-ins.ts';
import { contentActions, operationsFor } from '../../features/access/role-content.ts';
import { permissionModes } from '../../features/registries/registry.ts';
import { refuse } from '../../features/resources/refuse.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import type { ArmCall } from './arm-call.ts';
import type { ArmType } from './arm-type.ts';
import { resourceOperation } from './role-requirement.ts';

type Operation = {
  /** `Microsoft.ContainerRegistry/registries/write`. */
  readonly name: string;
  readonly description: string;
  readonly isDataAction: boolean;
};

const contentNamespace = 'Microsoft.ContainerRegistry';
const operationsWord = 'operations';
const metadataType = 'Microsoft.Authorization/providerOperations';

/** What an address below `/providers` asks about the operations that roles can give; undefined for any other one. */
export function operationListOf([, namespace = '', word = '', of, ...more]: readonly string[]):
  | { readonly kind: 'operations'; readonly namespace: string }
  | { readonly kind: 'metadata'; readonly namespace: string | undefined }
  | undefined {
  if (more.length > 0) return undefined;
  if (word.toLowerCase() === operationsWord && of === undefined) return { kind: 'operations', namespace };
  const isMetadata = `${namespace}/${word}`.toLowerCase() === metadataType.toLowerCase();
  return isMetadata ? { kind: 'metadata', namespace: of } : undefined;
}

/**
 * `GET /providers/{namespace}/operations` (`az identity list-operations`), and `GET .../providerOperations[/{namespace}]`
 * (`az provider operation list`, `show`): what custom roles are made of. Source: az command modules `identity` and `resource`.
 */
export function answerOperationList(
  { c }: ArmCall,
  types: readonly ArmType[],
  asked: NonNullable<ReturnType<typeof operationListOf>>,
): Response {
  if (c.req.method !== 'GET') throw new BerthError('unsupported');
  const byNamespace = Map.groupBy(allOperations(types), ({ name }) => name.slice(0, name.indexOf('/')));
  if (asked.namespace === undefined)
    return c.json({ value: [...byNamespace].map(([namespace, own]) => metadataView(namespace, own)) });
  const wanted = asked.namespace.toLowerCase();
  const [namespace, own] = [...byNamespace].find(([each]) => each.toLowerCase() === wanted) ?? [];
  if (namespace === undefined || own === undefined)
    throw refuse('resourceTypeUnknown', {
      message: `The resource namespace '${asked.namespace.slice(0, 100)}' is invalid.`,
    });
  return c.json(asked.kind === 'metadata' ? metadataView(namespace, own) : { value: own.map(operationView) });
}

function allOperations(types: readonly ArmType[]): Operation[] {
  const ofTypes = types.flatMap(({ type, actions = {} }) => {
    const base = resourceOperation(type, 'GET').replace(/\/read$/, '');
    const what = base.slice(base.lastIndexOf('/') + 1);
    const on = (name: string, description: string) => ({ name: spelled(name), description, isDataAction: false });
    return [
      on(`${base}/read`, `See ${what}.`),
      on(`${base}/write`, `Make and change ${what}.`),
      on(`${base}/delete`, `Delete ${what}.`),
      ...Object.entries(actions).map(([word, { method }]) =>
        on(`${base}/${word}/${method === 'POST' ? 'action' : 'read'}`, `Ask ${what} for ${word}.`),
      ),
    ];
  });
  return unique([...ofTypes, ...contentOperations()]);
}

function contentOperations(): Operation[] {
  return permissionModes.flatMap((mode) =>
    contentActions.flatMap((action) => {
      const { kind, operations } = operationsFor(mode, action);
      const description = `Gives ${action} on content in the mode ${mode}.`;
      return operations.map((name) => ({ name, description, isDataAction: kind === 'dataAction' }));
    }),
  );
}

/** The first of each name: one may give several actions on content. */
function unique(operations: readonly Operation[]): Operation[] {
  const groups = Map.groupBy(operations, ({ name, isDataAction }) => `${name.toLowerCase()} ${isDataAction}`);
  return [...groups.values()].flatMap(([first, ...rest]) =>
    first === undefined ? [] : [{ ...first, description: [first, ...rest].map((each) => each.description).join(' ') }],
  );
}

const spellings = new Map(
  builtInRoles.flatMap(({ permissions }) =>
    permissions.flatMap(({ actions }) => actions.map((each) => [each.toLowerCase(), each] as const)),
  ),
);

/** As the built-in roles write it: words of actions are kept in lower case here. */
function spelled(name: string): string {
  return spellings.get(name.toLowerCase()) ?? name;
}

function operationView({ name, description, isDataAction }: Operation): JsonObject {
  const [namespace = '', ...words] = name.split('/');
  const display = {
    provider: namespace,
    resource: words.slice(0, -1).join('/'),
    operation: words.at(-1) ?? '',
    description,
  };
  return { name, isDataAction, display };
}

function metadataView(namespace: string, operations: readonly Operation[]): JsonObject {
  const byType = Map.groupBy(operations, ({ name }) => name.slice(namespace.length + 1, name.lastIndexOf('/')));
  return {
    id: `/providers/${metadataType}/${namespace}`,
    type: metadataType,
    name: namespace,
    displayName: namespace === contentNamespace ? 'Berth registries' : namespace,
    resourceTypes: [...byType].map(([name, own]) => ({
      name,
      displayName: name,
      operations: own.map((each) => ({
        name: each.name,
        displayName: each.name.slice(each.name.lastIndexOf('/') + 1),
        description: each.description,
        origin: 'user,system',
        isDataAction: each.isDataAction,
      })),
    })),
    operations: [],
  };
}
