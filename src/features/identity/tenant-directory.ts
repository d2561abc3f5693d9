import { BerthError } from '../../core/errors.ts';
import { type Application, Applications } from './applications.ts';
import { changeDirectory, type DirectoryParts } from './directory-change.ts';
import { addLink, groupsOf, type Link, type LinkKind, listOwned, listTargets, removeLink } from './directory-links.ts';
import { type Group, Groups } from './groups.ts';
import { type ServicePrincipal, ServicePrincipals } from './service-principals.ts';
import { type User, Users } from './users.ts';

/** Anything with an object id. */
export type DirectoryObject =
  | { readonly kind: 'user'; readonly object: User }
  | { readonly kind: 'group'; readonly object: Group }
  | { readonly kind: 'servicePrincipal'; readonly object: ServicePrincipal }
  | { readonly kind: 'application'; readonly object: Application };

/** People, groups, applications and service principals of the tenant, and how they hang together. */
export class TenantDirectory {
  readonly applications: Applications;
  readonly servicePrincipals: ServicePrincipals;
  readonly users: Users;
  readonly groups: Groups;
  readonly #parts: DirectoryParts;

  constructor(parts: DirectoryParts) {
    this.#parts = parts;
    this.applications = new Applications(parts);
    this.servicePrincipals = new ServicePrincipals(parts);
    this.users = new Users(parts);
    this.groups = new Groups(parts);
  }

  /** Those that exist, whatever they are. */
  async objects(uids: readonly string[]): Promise<DirectoryObject[]> {
    const [users, groups, servicePrincipals, applications] = await Promise.all([
      this.users.findMany(uids),
      this.groups.findMany(uids),
      this.servicePrincipals.findMany(uids),
      this.applications.findMany(uids),
    ]);
    return [
      ...users.map((object): DirectoryObject => ({ kind: 'user', object })),
      ...groups.map((object): DirectoryObject => ({ kind: 'group', object })),
      ...servicePrincipals.map((object): DirectoryObject => ({ kind: 'servicePrincipal', object })),
      ...applications.map((object): DirectoryObject => ({ kind: 'application', object })),
    ];
  }

  /** Members or owners of an object. */
  async linked(sourceUid: string, kind: LinkKind): Promise<DirectoryObject[]> {
    return await this.objects(await listTargets(this.#parts.database.read, sourceUid, kind));
  }

  async ownedBy(uid: string): Promise<DirectoryObject[]> {
    return await this.objects(await listOwned(this.#parts.database.read, uid));
  }

  /** Directly and through other groups. */
  async groupsOf(uid: string): Promise<string[]> {
    return await groupsOf(this.#parts.database.read, uid);
  }

  /** Throws `directoryObjectUnknown`, `directoryObjectExists`; `directoryObjectInvalid` for a group in itself. */
  async link(link: Link, actor: string): Promise<void> {
    if (link.sourceUid === link.targetUid) throw new BerthError('directoryObjectInvalid', 'it cannot refer to itself');
    const [target] = await this.objects([link.targetUid]);
    if (target === undefined || target.kind === 'application') throw new BerthError('directoryObjectUnknown');
    await changeDirectory(this.#parts, actor, async (tx) => {
      await addLink(tx, this.#parts.tenantUid, link);
      return { value: undefined, event: { type: `${link.kind}.added`, data: { ...link } } };
    });
  }

  /** Throws `directoryObjectUnknown`. */
  async unlink(link: Link, actor: string): Promise<void> {
    await changeDirectory(this.#parts, actor, async (tx) => {
      await removeLink(tx, link);
      return { value: undefined, event: { type: `${link.kind}.removed`, data: { ...link } } };
    });
  }
}
