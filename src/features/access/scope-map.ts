import { isRepositoryName } from '../../core/repository-name.ts';
import type { RepositoryAction } from '../../core/scope.ts';
import { scopeMapPropertiesSchema } from '../../wire/arm/scope-map-schema.ts';
import { parseProperties } from '../resources/parse-properties.ts';
import { refuse } from '../resources/refuse.ts';
import type { Desired } from '../resources/resource.ts';
import type { Validation } from '../resources/resource-type.ts';
import type { Grant } from './decision.ts';

export const scopeMapType = 'Microsoft.ContainerRegistry/registries/scopeMaps';

/** What each action of a scope map lets a token do. Source: ACR semantics, "Non-Entra tokens and scope maps". */
const actionOfRight: ReadonlyMap<string, RepositoryAction> = new Map([
  ['content/read', 'pull'],
  ['content/write', 'push'],
  ['content/delete', 'delete'],
  ['metadata/read', 'metadata_read'],
  ['metadata/write', 'metadata_write'],
]);
/** Of connected registries: kept as written, and nothing on the content of repositories. */
const gatewayRights = ['config/read', 'config/write', 'message/read', 'message/write'];

/** Maps that every registry has. */
export const systemScopeMaps: Readonly<
  Record<string, { readonly description: string; readonly rights: readonly string[] }>
> = {
  _repositories_admin: {
    description: 'Can perform all read, write and delete operations on the registry',
    rights: [...actionOfRight.keys()],
  },
  _repositories_pull: { description: 'Can pull any repository of the registry', rights: ['content/read'] },
  _repositories_pull_metadata_read: {
    description: 'Can perform all read operations on the registry',
    rights: ['content/read', 'metadata/read'],
  },
  _repositories_push: {
    description: 'Can push to any repository of the registry',
    rights: ['content/read', 'content/write'],
  },
  _repositories_push_metadata_write: {
    description: 'Can perform all read and write operations on the registry',
    rights: ['content/read', 'content/write', 'metadata/read', 'metadata/write'],
  },
};

/** `repositories/<every>/<right>` of a map of the system; undefined for any other name. */
export function systemActions(name: string): readonly string[] | undefined {
  return Object.hasOwn(systemScopeMaps, name)
    ? systemScopeMaps[name]?.rights.map((right) => `repositories/*/${right}`)
    : undefined;
}

/** Throws `resourceNameInvalid`. The map that `az` makes for a token is named `<token>-scope-map`. */
export function checkScopeMapName(name: string): void {
  if (/^[a-z0-9][\w-]{4,59}$/i.test(name)) return;
  throw refuse('resourceNameInvalid', {
    message: `The scope map name '${name.slice(0, 100)}' is invalid: use 5 to 60 letters, digits, - and _, of which the first is a letter or digit.`,
    target: 'name',
  });
}

/** Throws `resourceInvalid`. */
export function validateScopeMap({ desired }: Validation): Desired {
  const { description, actions } = parseProperties(scopeMapPropertiesSchema, desired.properties, 'properties');
  const properties = { description: description ?? '', actions: [...new Set(actions.map(checkedAction))] };
  return { location: undefined, tags: {}, sku: undefined, identity: undefined, properties };
}

/** What a map gives on the repositories of one registry: one grant for each kind of action. */
export function scopeMapGrants(name: string, registryUid: string, actions: readonly string[]): readonly Grant[] {
  const parsed = actions.flatMap((text) => {
    const { repository, action } = parseAction(text) ?? {};
    return repository === undefined || action === undefined ? [] : [{ repository, action }];
  });
  return [...Map.groupBy(parsed, ({ action }) => action)].map(([action, of]) => {
    const patterns = of.map(({ repository }) => repository);
    return {
      by: `scope map ${name}`,
      actions: [action],
      at: {
        kind: 'repositories',
        registryUid,
        names: patterns.filter((each) => !each.endsWith('*')),
        prefixes: patterns.filter((each) => each.endsWith('*')).map((each) => each.slice(0, -1)),
      },
    };
  });
}

/** In lower case, as clients send it and as repositories are named. */
function checkedAction(text: string): string {
  const action = text.toLowerCase();
  if (parseAction(action) !== undefined) return action;
  throw refuse('resourceInvalid', {
    message:
      `The scope map action '${text.slice(0, 300)}' is invalid: use repositories/<name>/<right>, where the name is a repository, ` +
      `a name with /* behind it, or * alone, and the right one of ${[...actionOfRight.keys()].join(', ')}.`,
    target: 'properties.actions',
  });
}

type ParsedAction = { readonly repository: string; readonly action: RepositoryAction | undefined };

function parseAction(text: string): ParsedAction | undefined {
  const [, kind, name = '', right = ''] = /^(repositories|gateway)\/(.+)\/(\w+\/\w+)$/.exec(text) ?? [];
  if (kind === 'gateway')
    return /^[a-z0-9]{5,50}$/.test(name) && gatewayRights.includes(right)
      ? { repository: name, action: undefined }
      : undefined;
  const action = actionOfRight.get(right);
  return action !== undefined && isPattern(name) ? { repository: name, action } : undefined;
}

/** One wildcard, alone or as the last part: it stands for every name below, those of later included. */
function isPattern(name: string): boolean {
  if (name === '*') return true;
  return isRepositoryName(name.endsWith('/*') ? name.slice(0, -2) : name);
}
