import { createHash } from 'node:crypto';
import { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import type { Queries, Transaction } from '../../platform/database/database.ts';
import type { Log } from '../../platform/log.ts';
import { changeDirectory, type DirectoryParts } from './directory-change.ts';
import { objectIdOf, uidOfObjectId } from './object-id.ts';
import type { OutsideIdentity } from './outside-identity.ts';
import {
  createFindStanding,
  type FindStanding,
  insertPrincipal,
  insertSecret,
  loginKey,
  type Standing,
} from './principal-store.ts';
import { isUserName } from './users.ts';

/** Who does it, in the journal. */
const actor = 'outsideProvider';
/** What an outside group may stand for beside a group of ours. */
export const ownerTarget = 'owner';

/** Groups of the provider, and the groups of ours (object id or display name) or `owner` that each stands for. */
export type GroupMapping = readonly { readonly outside: string; readonly ours: string }[];

const linkSchema = z.object({ issuer: z.string(), subject: z.string(), groups: z.array(z.string()) });

type Granted = { readonly isOwner: boolean; readonly groups: readonly string[] };

type Account = Granted & {
  readonly uid: string;
  readonly isEnabled: boolean;
  /** What their sessions hang on; a new password takes it away. */
  readonly credentialUid: string | undefined;
  readonly memberOf: readonly string[];
};

/**
 * The users behind identities of an outside provider, found by issuer and subject alone and made at the first sign-in.
 * What the mapping gives, groups and ownership, is brought up to date at each one; other groups are left as they are.
 */
export class OutsideAccounts {
  readonly #parts: DirectoryParts & { readonly log: Log };
  readonly #mapping: GroupMapping;
  readonly #findStanding: FindStanding;

  constructor(parts: DirectoryParts & { readonly log: Log }, mapping: GroupMapping) {
    this.#parts = parts;
    this.#mapping = mapping;
    this.#findStanding = createFindStanding(parts.database.read);
  }

  /** Throws `outsideRefused`. */
  async signIn(identity: OutsideIdentity): Promise<Standing> {
    const linkUid = linkUidOf(this.#parts.tenantUid, identity);
    const { read } = this.#parts.database;
    const found = await findAccount(read, linkUid);
    const isCurrent = found !== undefined && found.credentialUid !== undefined;
    const kept =
      isCurrent && holds(found, await this.#granted(read, identity)) ? found : await this.#renew(linkUid, identity);
    const standing =
      kept.credentialUid === undefined ? undefined : await this.#findStanding(kept.uid, kept.credentialUid);
    if (standing === undefined) throw new BerthError('outsideRefused', 'the account is disabled here');
    return standing;
  }

  async #renew(linkUid: string, identity: OutsideIdentity): Promise<Pick<Account, 'uid' | 'credentialUid'>> {
    const newUid = this.#parts.ids.uid();
    const newCredentialUid = this.#parts.ids.uid();
    return await changeDirectory(this.#parts, actor, async (tx) => {
      // The new access epoch has locked the tenant's row, so nobody else makes the same account meanwhile.
      const found = await findAccount(tx, linkUid);
      if (found?.isEnabled === false) throw new BerthError('outsideRefused', 'the account is disabled here');
      if (found === undefined) await this.#create(tx, newUid, linkUid, identity);
      const uid = found?.uid ?? newUid;
      const credentialUid = found?.credentialUid ?? newCredentialUid;
      if (found?.credentialUid === undefined)
        await insertSecret(
          tx,
          uid,
          { uid: credentialUid, name: 'outside', verifier: '', sealed: undefined },
          this.#parts.clock.nowMicros(),
        );
      const granted = await this.#granted(tx, identity);
      await this.#grant(tx, { uid, linkUid, identity, before: found, granted });
      const type = found === undefined ? 'user.created' : 'user.updated';
      const { issuer, subject, userName } = identity;
      const data = {
        uid,
        userPrincipalName: userName,
        issuer,
        subject,
        isOwner: granted.isOwner,
        groups: granted.groups,
      };
      return { value: { uid, credentialUid }, event: { type, data } };
    });
  }

  async #create(tx: Transaction, uid: string, linkUid: string, identity: OutsideIdentity): Promise<void> {
    const { tenantUid, clock } = this.#parts;
    const { userName, displayName, issuer, subject } = identity;
    if (!isUserName(userName))
      throw new BerthError(
        'outsideRefused',
        `${userName} cannot be a user name here: letters, digits and . _ + - are needed`,
      );
    const taken = await tx
      .selectFrom('principals')
      .where('tenant_uid', '=', tenantUid)
      .where('registry_uid', 'is', null)
      .where('login_key', '=', loginKey(userName))
      .select('uid')
      .executeTakeFirst();
    if (taken !== undefined)
      throw new BerthError('outsideRefused', `the user name ${userName} belongs to somebody else here`);
    const nowMicros = clock.nowMicros();
    const common = { tenantUid, loginName: userName, displayName, registryUid: undefined, isOwner: false };
    await insertPrincipal(tx, { ...common, uid, kind: 'user', properties: { userPrincipalName: userName } }, nowMicros);
    const verifier = JSON.stringify({ issuer, subject, groups: [] });
    await insertSecret(tx, uid, { uid: linkUid, name: 'outsideLink', verifier, sealed: undefined }, nowMicros);
  }

  async #grant(
    tx: Transaction,
    change: {
      readonly uid: string;
      readonly linkUid: string;
      readonly identity: OutsideIdentity;
      readonly before: Account | undefined;
      readonly granted: Granted;
    },
  ): Promise<void> {
    const { uid, linkUid, identity, before, granted } = change;
    const { issuer, subject } = identity;
    const lost = (before?.groups ?? []).filter((group) => !granted.groups.includes(group));
    if (lost.length > 0)
      await tx
        .deleteFrom('directory_links')
        .where('source_uid', 'in', lost)
        .where('kind', '=', 'member')
        .where('target_uid', '=', uid)
        .execute();
    for (const group of granted.groups)
      await tx
        .insertInto('directory_links')
        .values({ tenant_uid: this.#parts.tenantUid, source_uid: group, kind: 'member', target_uid: uid })
        .onConflict((conflict) => conflict.columns(['source_uid', 'kind', 'target_uid']).doNothing())
        .execute();
    await tx
      .updateTable('principals')
      .set({ is_owner: granted.isOwner ? 1 : 0 })
      .where('uid', '=', uid)
      .execute();
    await tx
      .updateTable('secrets')
      .set({ verifier: JSON.stringify({ issuer, subject, groups: granted.groups }) })
      .where('uid', '=', linkUid)
      .execute();
  }

  /** What the mapping gives for these groups. One that names no group of ours, or several, gives nothing and is logged. */
  async #granted(queries: Queries, { groups }: OutsideIdentity): Promise<Granted> {
    const targets = this.#mapping.filter(({ outside }) => groups.includes(outside)).map(({ ours }) => ours);
    const names = [...new Set(targets)].filter((target) => target !== ownerTarget);
    const isOwner = targets.includes(ownerTarget);
    if (names.length === 0) return { isOwner, groups: [] };
    const rows = await queries
      .selectFrom('user_groups')
      .where('tenant_uid', '=', this.#parts.tenantUid)
      .where((eb) =>
        eb.or([
          eb('display_name', 'in', names),
          eb(
            'uid',
            'in',
            names.map((name) => uidOfObjectId(name) ?? name),
          ),
        ]),
      )
      .select(['uid', 'display_name'])
      .execute();
    const found = names.flatMap((name) => {
      const fitting = rows.filter((row) => row.display_name === name || objectIdOf(row.uid) === name.toLowerCase());
      if (fitting.length !== 1)
        this.#parts.log.warn('group of the mapping not found', { group: name, found: fitting.length });
      return fitting.length === 1 ? fitting.map((row) => row.uid) : [];
    });
    return { isOwner, groups: [...new Set(found)].toSorted() };
  }
}

function holds({ isOwner, groups, memberOf }: Account, granted: Granted): boolean {
  const isSame = groups.length === granted.groups.length && granted.groups.every((group) => groups.includes(group));
  return isSame && isOwner === granted.isOwner && granted.groups.every((group) => memberOf.includes(group));
}

async function findAccount(queries: Queries, linkUid: string): Promise<Account | undefined> {
  const row = await queries
    .selectFrom('secrets as s')
    .innerJoin('principals as p', 'p.uid', 's.principal_uid')
    .where('s.uid', '=', linkUid)
    .where('s.name', '=', 'outsideLink')
    .select(['p.uid', 'p.is_enabled as isEnabled', 'p.is_owner as isOwner', 's.verifier'])
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const credential = await queries
    .selectFrom('secrets')
    .where('principal_uid', '=', row.uid)
    .where('name', '=', 'outside')
    .select('uid')
    .executeTakeFirst();
  const links = await queries
    .selectFrom('directory_links')
    .where('target_uid', '=', row.uid)
    .where('kind', '=', 'member')
    .select('source_uid')
    .execute();
  return {
    uid: row.uid,
    isEnabled: row.isEnabled === 1,
    isOwner: row.isOwner === 1,
    groups: linkSchema.parse(JSON.parse(row.verifier)).groups,
    credentialUid: credential?.uid,
    memberOf: links.map((link) => link.source_uid),
  };
}

/** The same for the same person always: the first 128 bits of a hash as a uid. */
function linkUidOf(tenantUid: string, { issuer, subject }: OutsideIdentity): string {
  const hex = createHash('sha256')
    .update(JSON.stringify([tenantUid, issuer, subject]))
    .digest('hex');
  const guid = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-');
  const uid = uidOfObjectId(guid);
  if (uid === undefined) throw new Error('a hash makes a GUID');
  return uid;
}
