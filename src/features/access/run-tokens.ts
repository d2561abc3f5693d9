import { BerthError } from '../../core/errors.ts';
import { type AccessScope, formatScope } from '../../core/scope.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import { type Journal, tenantStreamOf } from '../../platform/journal/journal.ts';
import { raiseAccessEpoch } from '../identity/access-epoch.ts';
import { createFindStanding, insertSecret, type Standing } from '../identity/principal-store.ts';
import { keyOverlapSeconds } from '../identity/signing-keys.ts';
import type { Directory } from '../registries/directory.ts';
import type { RegistryTokens } from './registry-tokens.ts';
import type { RightsSource } from './rights-source.ts';
import { permittedActions } from './token-access.ts';
import { tokenUserName } from './token-user-name.ts';

export type RunTokenRequest = {
  /** The registry that the token opens, and no other. */
  readonly registryUid: string;
  /** With whose rights the run works: who asked for it, or the identity of its task. What they may not do, the run may not. */
  readonly principalUid: string;
  /** All that the run may do of it, such as `{ type: 'repository', name: '*', actions: ['pull', 'push'] }`. */
  readonly scopes: readonly AccessScope[];
  /**
   * Whether network rules of the registry that let trusted services in (`networkRuleBypassOptions: AzureServices`, the
   * default) let the run in, wherever it comes from: for agents of the installation, not for those of pools in foreign networks.
   */
  readonly isTrustedService: boolean;
  /** The run's time limit, at most a day. */
  readonly lifetimeSeconds: number;
  /** Id of the run, for the journal. */
  readonly run: string;
};

/** What a run signs in with, at `docker login` and in Basic headers; it buys access tokens that are limited alike. */
export type RunToken = {
  readonly userName: string;
  readonly password: string;
  /** Keep it with the run, to end the token when the run ends, also after a restart. */
  readonly tokenUid: string;
  readonly expiresAtMicros: number;
};

export type RunTokensParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly directory: Directory;
  readonly rightsSource: RightsSource;
  readonly tokens: RegistryTokens;
  readonly tenantUid: string;
};

/**
 * Credentials of runs: one for each run, for one registry, limited to some of what a principal may do there, and good until
 * the run ends. What the principal may do is decided anew with each request. Nothing else makes tokens of trusted services.
 * Source: security rule 20; ACR semantics, "Networking".
 */
export class RunTokens {
  readonly #parts: RunTokensParts;

  constructor(parts: RunTokensParts) {
    this.#parts = parts;
  }

  /** Throws `registryUnknown`; `directoryObjectUnknown` for a principal that is gone or disabled. */
  async issue(request: RunTokenRequest): Promise<RunToken> {
    const { registryUid, scopes, isTrustedService, lifetimeSeconds } = request;
    if (lifetimeSeconds > keyOverlapSeconds) throw new RangeError(`a token lives at most ${keyOverlapSeconds} seconds`);
    const { clock, ids, directory, rightsSource, tokens } = this.#parts;
    await directory.refresh();
    const registry = directory.byUid(registryUid);
    if (registry === undefined) throw new BerthError('registryUnknown');
    const tokenUid = ids.uid();
    const expiresAtMicros = clock.nowMicros() + lifetimeSeconds * 1_000_000;
    const { principal } = await this.#keep(request, tokenUid, expiresAtMicros);
    const epoch = directory.epoch();
    const { rights } = await rightsSource.of(principal, registry, epoch);
    const holder = { registry, principal, credentialUid: tokenUid, epoch, expiresAtMicros, limits: scopes };
    const password = await tokens.signRefreshToken(
      { ...holder, isTrustedService },
      permittedActions(rights, registryUid),
      lifetimeSeconds,
    );
    return { userName: tokenUserName, password, tokenUid, expiresAtMicros };
  }

  /** The run is over: what it signed in with fails from the next request on, on every process. Nothing for one that ended before. */
  async end(tokenUid: string): Promise<void> {
    const { database, journal, tenantUid } = this.#parts;
    // Without need the access epoch stays: where it is raised, every process reads again who may do what.
    const there = await database.read
      .selectFrom('secrets')
      .select('uid')
      .where('uid', '=', tokenUid)
      .where('name', '=', 'run')
      .executeTakeFirst();
    if (there === undefined) return;
    await journal.transaction(async (tx, append) => {
      await raiseAccessEpoch(tx, tenantUid);
      const ended = await tx
        .deleteFrom('secrets')
        .where('uid', '=', tokenUid)
        .where('name', '=', 'run')
        .returning('principal_uid')
        .executeTakeFirst();
      if (ended !== undefined) append(this.#event('runToken.ended', ended.principal_uid, { uid: tokenUid }));
    });
  }

  async #keep(request: RunTokenRequest, uid: string, expiresAtMicros: number): Promise<Standing> {
    const { clock, journal, tenantUid } = this.#parts;
    const { principalUid, registryUid, scopes, isTrustedService, run } = request;
    // Takes nothing from anybody, so the access epoch stays.
    return await journal.transaction(async (tx, append) => {
      const nowMicros = clock.nowMicros();
      await dropExpired(tx, principalUid, nowMicros);
      if (await isPrincipal(tx, principalUid, tenantUid, registryUid)) {
        const secret = {
          uid,
          name: 'run',
          verifier: '',
          sealed: undefined,
          displayName: run,
          expiresAtMicros,
        } as const;
        await insertSecret(tx, principalUid, secret, nowMicros);
      }
      const standing = await createFindStanding(tx)(principalUid, uid);
      if (standing === undefined) throw new BerthError('directoryObjectUnknown', { principal: principalUid });
      const data = { uid, registryUid, run, scopes: scopes.map(formatScope), isTrustedService, expiresAtMicros };
      append(this.#event('runToken.issued', principalUid, data));
      return standing;
    });
  }

  #event(type: string, actor: string, data: Readonly<Record<string, unknown>>) {
    return { stream: tenantStreamOf(this.#parts.tenantUid), type, version: 1, actor, data };
  }
}

/** Of the tenant, or of that registry. */
async function isPrincipal(tx: Transaction, uid: string, tenantUid: string, registryUid: string): Promise<boolean> {
  const row = await tx
    .selectFrom('principals')
    .where('uid', '=', uid)
    .where('tenant_uid', '=', tenantUid)
    .where((eb) => eb.or([eb('registry_uid', 'is', null), eb('registry_uid', '=', registryUid)]))
    .select('uid')
    .executeTakeFirst();
  return row !== undefined;
}

/** Of runs that nobody ended. */
/** Whether a run that may not have ended signs in somewhere. */
export async function hasRunToken(queries: Queries, nowMicros: number): Promise<boolean> {
  const row = await queries
    .selectFrom('secrets')
    .where('name', '=', 'run')
    .where('expires_at', '>', nowMicros)
    .select('uid')
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

async function dropExpired(tx: Transaction, principalUid: string, nowMicros: number): Promise<void> {
  await tx
    .deleteFrom('secrets')
    .where('principal_uid', '=', principalUid)
    .where('name', '=', 'run')
    .where('expires_at', '<=', nowMicros)
    .execute();
}
