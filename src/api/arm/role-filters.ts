import { isGuid } from '../../features/identity/object-id.ts';
import { refuse } from '../../features/resources/refuse.ts';
import { isJsonObject, type JsonObject } from '../../wire/arm/json.ts';

export type AssignmentFilter = {
  /** At the scope and above it, and nothing inside it. */
  readonly isAtScope: boolean;
  /** Object ids in lower case. */
  readonly principalId: string | undefined;
  /** Directly or through a group. */
  readonly assignedTo: string | undefined;
};

export type DefinitionFilter = {
  readonly matches: (view: JsonObject) => boolean;
  /** Also roles that can be assigned only inside the scope. */
  readonly isBelowToo: boolean;
};

const maxLength = 1_000;

/** Source: Microsoft.Authorization/roleAssignments, "List For Scope". Throws `filterInvalid`. */
export function parseAssignmentFilter(text: string | undefined): AssignmentFilter {
  const terms = termsOf(text);
  const idIn = (pattern: RegExp) => terms.flatMap((term) => pattern.exec(term)?.[1] ?? [])[0];
  const patterns = {
    atScope: /^(atScope\(\))$/i,
    principalId: /^principalId\s+eq\s+'([^']*)'$/i,
    assignedTo: /^assignedTo\('([^']*)'\)$/i,
  };
  refuseOthers(terms, Object.values(patterns), "atScope(), principalId eq 'x' and assignedTo('x')");
  const [principalId, assignedTo] = [idIn(patterns.principalId), idIn(patterns.assignedTo)];
  if ([principalId, assignedTo].some((id) => id !== undefined && !isGuid(id))) throw invalid('an object id is a GUID');
  return {
    isAtScope: idIn(patterns.atScope) !== undefined,
    principalId: principalId?.toLowerCase(),
    assignedTo: assignedTo?.toLowerCase(),
  };
}

/** Source: Microsoft.Authorization/roleDefinitions, "List". Throws `filterInvalid`. */
export function parseDefinitionFilter(text: string | undefined): DefinitionFilter {
  const terms = termsOf(text);
  const below = /^atScopeAndBelow\(\)$/i;
  const compare = /^(roleName|type)\s+eq\s+'([^']*)'$/i;
  refuseOthers(terms, [below, compare], "roleName eq 'x', type eq 'CustomRole' and atScopeAndBelow()");
  const wanted = terms.flatMap((term) => {
    const [, member, value] = compare.exec(term) ?? [];
    return member === undefined || value === undefined
      ? []
      : [{ member: member.toLowerCase() === 'type' ? 'type' : 'roleName', value: value.toLowerCase() }];
  });
  return {
    isBelowToo: terms.some((term) => below.test(term)),
    matches: ({ properties = null }) =>
      wanted.every(
        ({ member, value }) => isJsonObject(properties) && String(properties[member]).toLowerCase() === value,
      ),
  };
}

function termsOf(text = ''): readonly string[] {
  if (text.length > maxLength) throw invalid('it is too long');
  return text
    .trim()
    .split(/\s+and\s+/i)
    .filter((term) => term !== '');
}

function refuseOthers(terms: readonly string[], known: readonly RegExp[], forms: string): void {
  const other = terms.find((term) => !known.some((pattern) => pattern.test(term)));
  if (other !== undefined) throw invalid(`'${other.slice(0, 100)}' is not known here; use ${forms}, joined by and`);
}

function invalid(reason: string) {
  return refuse('filterInvalid', { message: `Invalid $filter: ${reason}.`, target: '$filter' });
}
