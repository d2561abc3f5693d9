import { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import type { Queries } from '../../platform/database/database.ts';
import { hashSecret, verifySecret } from '../../platform/keys/secret-hash.ts';
import { createEpochReader } from './access-epoch.ts';
import { addressesIn, parseNetwork } from './bound-network.ts';
import { changeDirectory, type DirectoryParts } from './directory-change.ts';
import { isNamed, listManagedIdentities, type ManagedIdentity, managedIdentityOf } from './managed-identities.ts';
import { newSecret } from './new-secret.ts';
import { insertSecret } from './principal-store.ts';

/** Whom the endpoint gives tokens of an identity to: machines at an address, or whoever shows a secret. */
export type Binding = {
  readonly uid: string;
  readonly identity: ManagedIdentity;
  readonly to:
    | { readonly kind: 'address'; readonly network: string }
    | { readonly kind: 'secret'; readonly hint: string };
  readonly createdAtMicros: number;
};

export type BindingRequest = {
  /** Client id, object id or resource id of a user-assigned identity; its name where no other has it. */
  readonly identity: string;
  /** In CIDR form, or one address; undefined to have a secret made. */
  readonly network: string | undefined;
  /** Uid of who asked. */
  readonly actor: string;
};

/** What a machine shows: nothing but where it is, or the secret it was given. */
export type BindingProof =
  | { readonly kind: 'address'; readonly address: string }
  | { readonly kind: 'secret'; readonly secret: string };

const maxBindings = 1_000;
/** A binding is a row of `secrets`: tokens that were bought with it end with it. */
const verifierSchema = z.union([z.object({ network: z.string() }), z.object({ secret: z.string() })]);

type BoundMachines = { readonly binding: Binding; readonly admits: (address: string) => boolean };

/** Bindings of managed identities to machines and workloads. Those to machines are read again when rights change. */
export class IdentityBindings {
  readonly #parts: DirectoryParts;
  readonly #epoch: () => Promise<number>;
  #known: { readonly epoch: number; readonly machines: readonly BoundMachines[] } | undefined;

  constructor(parts: DirectoryParts) {
    this.#parts = parts;
    this.#epoch = createEpochReader(parts.database.read, parts.tenantUid);
  }

  /** `secret` is shown this once. Throws `managedIdentityUnknown`, `bindingInvalid`. */
  async add(request: BindingRequest): Promise<{ readonly binding: Binding; readonly secret: string | undefined }> {
    const { ids, clock, tenantUid } = this.#parts;
    const network = request.network === undefined ? undefined : parseNetwork(request.network);
    const uid = ids.uid();
    const random = newSecret(ids);
    const verifier = network === undefined ? { secret: hashSecret(random) } : { network };
    const createdAtMicros = clock.nowMicros();
    return await changeDirectory(this.#parts, request.actor, async (tx) => {
      const identity = chosen(await listManagedIdentities(tx, tenantUid), request.identity);
      if ((await rowsOf(tx, tenantUid).execute()).length >= maxBindings)
        throw new BerthError('bindingInvalid', `there are ${maxBindings} bindings already: remove some first`);
      const hint = random.slice(0, 3);
      const row = { uid, name: 'binding', verifier: JSON.stringify(verifier), sealed: undefined, hint } as const;
      await insertSecret(tx, identity.uid, row, createdAtMicros);
      const to = network === undefined ? ({ kind: 'secret', hint } as const) : ({ kind: 'address', network } as const);
      const binding: Binding = { uid, identity, to, createdAtMicros };
      const secret = network === undefined ? `${uid}.${random}` : undefined;
      const data = { uid, identity: identity.uid, to };
      return { value: { binding, secret }, event: { type: 'identityBinding.created', data } };
    });
  }

  async list(): Promise<Binding[]> {
    const rows = await rowsOf(this.#parts.database.read, this.#parts.tenantUid).execute();
    return rows.map((row) => bindingOf(row));
  }

  /** Tokens that were bought with it end with the next request. Throws `bindingUnknown`. */
  async remove(uid: string, actor: string): Promise<void> {
    await changeDirectory(this.#parts, actor, async (tx) => {
      const known = await rowsOf(tx, this.#parts.tenantUid).where('s.uid', '=', uid).executeTakeFirst();
      if (known === undefined) throw new BerthError('bindingUnknown', uid.slice(0, 100));
      await tx.deleteFrom('secrets').where('uid', '=', uid).execute();
      return { value: undefined, event: { type: 'identityBinding.deleted', data: { uid } } };
    });
  }

  /** Those that hold for what was shown; empty for a wrong secret and for an address that nobody bound. */
  async of(proof: BindingProof): Promise<Binding[]> {
    if (proof.kind === 'address') {
      const machines = await this.#machines();
      return machines.filter(({ admits }) => admits(proof.address)).map(({ binding }) => binding);
    }
    const [uid = '', random = ''] = proof.secret.split('.', 2);
    const row = await this.#enabledRows().where('s.uid', '=', uid).executeTakeFirst();
    const verifier = row && verifierSchema.parse(JSON.parse(row.verifier));
    const isRight = verifier !== undefined && 'secret' in verifier && verifySecret(random, verifier.secret);
    return row !== undefined && isRight ? [bindingOf(row)] : [];
  }

  async #machines(): Promise<readonly BoundMachines[]> {
    // Read first: rows that are newer than it are read once more.
    const epoch = await this.#epoch();
    if (this.#known?.epoch === epoch) return this.#known.machines;
    const machines = (await this.#enabledRows().execute()).map(bindingOf).flatMap((binding) => {
      return binding.to.kind === 'address' ? [{ binding, admits: addressesIn(binding.to.network) }] : [];
    });
    this.#known = { epoch, machines };
    return machines;
  }

  #enabledRows() {
    const { database, tenantUid } = this.#parts;
    return rowsOf(database.read, tenantUid).where('p.is_enabled', '=', 1);
  }
}

function rowsOf(queries: Queries, tenantUid: string) {
  return queries
    .selectFrom('principals as p')
    .innerJoin('secrets as s', 's.principal_uid', 'p.uid')
    .where('p.tenant_uid', '=', tenantUid)
    .where('p.kind', '=', 'managedIdentity')
    .where('s.name', '=', 'binding')
    .orderBy('s.created_at')
    .orderBy('s.uid')
    .select(['p.uid', 'p.login_key', 'p.display_name', 'p.properties'])
    .select(['s.uid as binding', 's.verifier', 's.hint', 's.created_at']);
}

type Row = Awaited<ReturnType<ReturnType<typeof rowsOf>['execute']>>[number];

function bindingOf(row: Row): Binding {
  const verifier = verifierSchema.parse(JSON.parse(row.verifier));
  const to =
    'network' in verifier
      ? ({ kind: 'address', network: verifier.network } as const)
      : ({ kind: 'secret', hint: row.hint ?? '' } as const);
  return { uid: row.binding, identity: managedIdentityOf(row), to, createdAtMicros: row.created_at };
}

/** A registry's own identity is nobody else's. */
function chosen(all: readonly ManagedIdentity[], name: string): ManagedIdentity {
  const bindable = all.filter(({ kind }) => kind === 'userAssigned');
  const [found] = bindable.filter((each) => isNamed(each, name));
  if (found !== undefined) return found;
  const [only, ...others] = bindable.filter((each) => each.name.toLowerCase() === name.toLowerCase());
  if (others.length > 0)
    throw new BerthError('bindingInvalid', `several identities are called '${name.slice(0, 200)}': give the client id`);
  if (only === undefined) throw new BerthError('managedIdentityUnknown', name.slice(0, 300));
  return only;
}
