import { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import type { AccessLog } from '../../platform/access-log/access-log.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import { SealError, type Sealer } from '../../platform/keys/sealer.ts';
import { BegunSignIns } from './begun-sign-ins.ts';
import { newSecret } from './new-secret.ts';
import type { OutsideAccounts } from './outside-accounts.ts';
import type { OutsideProvider } from './outside-provider.ts';
import { createFindStanding, type FindStanding, type Standing } from './principal-store.ts';
import type { SignInFrom } from './sign-in.ts';
import { keepSignIn, resumeSignIn, signedInSchema } from './sign-in-sessions.ts';
import { findState, insertState, stateKey, takeState } from './sign-in-state-store.ts';
import { signedIn } from './tenant-sign-in.ts';
import type { SignedIn } from './tenant-tokens.ts';

/** For the way to the provider and back, and then for the page that the person came from. */
export const outsideSignInSeconds = 600;

const sealedFor = 'outsideSignIn';

const begunSchema = z.object({
  state: z.string(),
  nonce: z.string(),
  verifier: z.string(),
  redirectUri: z.string(),
  returnTo: z.string(),
  /** Microseconds. */
  expiresAt: z.int(),
});

export type OutsideSignInParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly sealer: Sealer;
  readonly accessLog: AccessLog;
  readonly outsideProvider: OutsideProvider;
  readonly outsideAccounts: OutsideAccounts;
};

/**
 * Sign-ins through the outside provider. What is needed when the browser comes back goes with the browser, sealed, so that
 * strangers who begin sign-ins leave nothing in the database; the provider's code makes each good once. Afterwards a ticket,
 * kept as a hash, tells the sign-in pages for ten minutes who is there.
 */
export class OutsideSignIn {
  readonly #parts: OutsideSignInParts;
  readonly #findStanding: FindStanding;
  readonly #begun: BegunSignIns;

  constructor(parts: OutsideSignInParts) {
    this.#parts = parts;
    this.#findStanding = createFindStanding(parts.database.read);
    this.#begun = new BegunSignIns(parts.clock);
  }

  /** What people call the provider. */
  get name(): string {
    return this.#parts.outsideProvider.name;
  }

  /**
   * Answers where the browser goes and what it has to bring back beside the answer: some 350 characters, and four for each three
   * of `returnTo`. Throws `outsideUnreachable`, `tooManyRequests`.
   */
  async begin(
    redirectUri: string,
    returnTo: string,
    address: string,
  ): Promise<{ readonly url: string; readonly binding: string }> {
    const { clock, sealer, outsideProvider } = this.#parts;
    this.#begun.count(address);
    const { url, checks } = await outsideProvider.begin(redirectUri);
    const expiresAt = clock.nowMicros() + outsideSignInSeconds * 1_000_000;
    const begun: z.infer<typeof begunSchema> = { ...checks, redirectUri, returnTo, expiresAt };
    const binding = Buffer.from(sealer.sealText(sealedFor, JSON.stringify(begun))).toString('base64url');
    return { url, binding };
  }

  /**
   * The browser is back with `answer`, the query. Answers a ticket and the page to go on with. Throws `outsideExpired` for an answer that
   * nobody waits for in this browser, `outsideUnreachable` and `outsideRefused`.
   */
  async finish(
    answer: URLSearchParams,
    binding: string,
    from: SignInFrom,
  ): Promise<{ readonly ticket: string; readonly returnTo: string }> {
    const { ids, clock, outsideProvider, outsideAccounts } = this.#parts;
    const begun = this.#open(binding);
    if (begun === undefined || begun.expiresAt <= clock.nowMicros() || answer.get('state') !== begun.state)
      throw new BerthError('outsideExpired');
    const { state, nonce, verifier, redirectUri, returnTo } = begun;
    const returned = new URL(redirectUri);
    returned.search = answer.toString();
    try {
      const identity = await outsideProvider.finish(returned, { state, nonce, verifier });
      const standing = await outsideAccounts.signIn(identity);
      this.#record(from, standing.principal.uid, 200);
      return { ticket: await this.#ticket(standing, newSecret(ids)), returnTo };
    } catch (error) {
      this.#record(from, 'unknown', 401);
      throw error;
    }
  }

  /** Whom a ticket stands for; undefined when it is wrong or over, or the account is disabled since. */
  async resume(ticket: string, clientId: string): Promise<SignedIn | undefined> {
    const { database, clock } = this.#parts;
    const state = await findState(database.read, stateKey('outsideTicket', ticket), clock.nowMicros());
    if (state === undefined) return undefined;
    const kept = { ...signedInSchema.parse(JSON.parse(state.payload)), clientId: clientId.toLowerCase() };
    return await resumeSignIn({ findStanding: this.#findStanding, clock }, kept);
  }

  /** The person asks for another account. */
  async forget(ticket: string): Promise<void> {
    const { database, clock } = this.#parts;
    await database.transaction((tx) => takeState(tx, stateKey('outsideTicket', ticket), clock.nowMicros()));
  }

  /** Undefined for what this installation has not sealed. */
  #open(binding: string): z.infer<typeof begunSchema> | undefined {
    try {
      const text = this.#parts.sealer.openText(sealedFor, Buffer.from(binding, 'base64url'));
      return begunSchema.parse(JSON.parse(text));
    } catch (error) {
      if (error instanceof SealError) return undefined;
      throw error;
    }
  }

  async #ticket(standing: Standing, ticket: string): Promise<string> {
    await this.#keep(stateKey('outsideTicket', ticket), keepSignIn(signedIn(standing, '', 'none')));
    return ticket;
  }

  async #keep(key: string, payload: unknown): Promise<void> {
    const { database, clock } = this.#parts;
    const nowMicros = clock.nowMicros();
    const state = {
      payload: JSON.stringify(payload),
      expiresAtMicros: nowMicros + outsideSignInSeconds * 1_000_000,
    };
    await database.transaction((tx) => insertState(tx, key, state, nowMicros));
  }

  #record({ address, correlationId, userAgent }: SignInFrom, identity: string, status: number): void {
    const common = { kind: 'signIn', identity, address, correlationId, status } as const;
    this.#parts.accessLog.record({ ...common, ...(userAgent === undefined ? {} : { userAgent }) });
  }
}
