import type { Database } from '../../platform/database/database.ts';
import type { Registry } from '../registries/registry.ts';
import type { Grant, Principal, Rights } from './decision.ts';
import { loadTokenGrants } from './repository-token-grants.ts';
import { inherentGrants } from './rights.ts';
import { roleGrants } from './role-grants.ts';
import { loadHeldRoles } from './role-store.ts';

/** Rights as they were at an access epoch. */
export type RightsAt = { readonly rights: Rights; readonly epoch: number };

/**
 * What a principal may do on a registry, at that epoch or a newer one. Answered from memory while the epoch stands and the
 * registry is the same object, which it is as long as nothing about it changed; costs one query else, none for owners,
 * strangers and admin accounts.
 */
export type RightsSource = {
  readonly of: (principal: Principal, registry: Registry, epoch: number) => RightsAt | Promise<RightsAt>;
};

/** What one kind of principal was given, read together with the epoch. */
export type LoadGrants = (
  principal: Principal,
  registry: Registry,
) => Promise<{ readonly grants: readonly Grant[]; readonly epoch: number }>;

export type RightsSourceParts = { readonly database: Database };

type Known = RightsAt & { readonly registry: Registry };

const maxKnown = 10_000;

export function createRightsSource({ database }: RightsSourceParts): RightsSource {
  const loadRoleGrants: LoadGrants = async ({ uid }, registry) => {
    const { roles, epoch } = await loadHeldRoles(database.read, registry.tenantUid, uid);
    return { grants: roleGrants(roles, registry), epoch };
  };
  const loadOwnGrants = loadTokenGrants(database);
  return new CachedRights((principal) => {
    if (principal.kind === 'repositoryToken') return loadOwnGrants;
    return hasRoles(principal) ? loadRoleGrants : undefined;
  });
}

class CachedRights implements RightsSource {
  readonly #loaderOf: (principal: Principal) => LoadGrants | undefined;
  /** The one read longest ago first. */
  readonly #known = new Map<string, Known>();
  readonly #loading = new Map<string, Promise<Known>>();

  constructor(loaderOf: (principal: Principal) => LoadGrants | undefined) {
    this.#loaderOf = loaderOf;
  }

  of(principal: Principal, registry: Registry, epoch: number): RightsAt | Promise<RightsAt> {
    const load = this.#loaderOf(principal);
    if (load === undefined) return { rights: { principal, grants: inherentGrants(principal, registry) }, epoch };
    const known = this.#known.get(keyOf(principal, registry));
    return known !== undefined && isFor(known, registry, epoch) ? known : this.#load(load, principal, registry, epoch);
  }

  /** Once for all requests that wait. */
  async #load(load: LoadGrants, principal: Principal, registry: Registry, epoch: number): Promise<RightsAt> {
    const key = keyOf(principal, registry);
    for (let waiting = this.#loading.get(key); waiting !== undefined; waiting = this.#loading.get(key)) {
      const known = await waiting;
      // One that was under way may have begun before the epoch was raised.
      if (isFor(known, registry, epoch)) return known;
    }
    const loading = this.#read(load, principal, registry).finally(() => {
      if (this.#loading.get(key) === loading) this.#loading.delete(key);
    });
    this.#loading.set(key, loading);
    return await loading;
  }

  async #read(load: LoadGrants, principal: Principal, registry: Registry): Promise<Known> {
    const { grants, epoch } = await load(principal, registry);
    const rights = { principal, grants: [...inherentGrants(principal, registry), ...grants] };
    const known = { rights, epoch, registry };
    this.#keep(keyOf(principal, registry), known);
    return known;
  }

  #keep(key: string, known: Known): void {
    this.#known.delete(key);
    this.#known.set(key, known);
    const [oldest] = this.#known.keys();
    if (this.#known.size > maxKnown && oldest !== undefined) this.#known.delete(oldest);
  }
}

function isFor(known: Known, registry: Registry, epoch: number): boolean {
  return known.epoch >= epoch && known.registry === registry;
}

function hasRoles({ kind, isOwner, registryUid }: Principal): boolean {
  return kind !== 'anonymous' && !isOwner && registryUid === undefined;
}

function keyOf(principal: Principal, registry: Registry): string {
  return `${principal.uid} ${registry.uid}`;
}
