import { addressKey } from '../../core/address-key.ts';
import { BerthError } from '../../core/errors.ts';
import type { AccessLog } from '../../platform/access-log/access-log.ts';
import type { Clock } from '../../platform/clock.ts';
import { FailedAttempts } from './failed-attempts.ts';
import type { Binding, BindingProof, IdentityBindings } from './identity-bindings.ts';
import { isNamed } from './managed-identities.ts';
import type { SignInFrom } from './sign-in.ts';
import type { SignedIn } from './tenant-tokens.ts';

export type MachineSignInParts = {
  readonly identityBindings: Pick<IdentityBindings, 'of'>;
  readonly accessLog: AccessLog;
  readonly clock: Clock;
};

export type MachineAttempt = {
  readonly proof: BindingProof;
  /** Client id, object id or resource id; undefined for whichever is bound. */
  readonly wanted: string | undefined;
  readonly from: SignInFrom;
};

/**
 * Signs a machine in as the managed identity that an administrator bound it to. Throws `identityNotBound`,
 * `identityAmbiguous`, `bindingSecretWrong` and `tooManyAttempts`.
 */
export type MachineSignIn = (attempt: MachineAttempt) => Promise<SignedIn>;

export function createMachineSignIn({ identityBindings, accessLog, clock }: MachineSignInParts): MachineSignIn {
  const wrongSecrets = new FailedAttempts(clock);
  const record = ({ address, correlationId, userAgent }: SignInFrom, identity: string, status: number) =>
    accessLog.record({
      kind: 'signIn',
      identity,
      address,
      correlationId,
      status,
      ...(userAgent === undefined ? {} : { userAgent }),
    });
  return async ({ proof, wanted, from }) => {
    const bindings = await identityBindings.of(proof);
    if (bindings.length === 0 && proof.kind === 'secret') {
      const key = addressKey(from.address);
      const waitSeconds = wrongSecrets.waitSeconds(key);
      record(from, 'unknown', waitSeconds > 0 ? 429 : 401);
      if (waitSeconds > 0) throw new BerthError('tooManyAttempts', undefined, { retryAfterSeconds: waitSeconds });
      wrongSecrets.count(key);
      throw new BerthError('bindingSecretWrong');
    }
    try {
      const { uid, identity } = pick(bindings, wanted);
      record(from, identity.uid, 200);
      const { clientId, name } = identity;
      const principal = {
        kind: 'managedIdentity',
        uid: identity.uid,
        name,
        isOwner: false,
        registryUid: undefined,
      } as const;
      return { principal, credentialUid: uid, loginName: clientId, clientId, proof: 'key' };
    } catch (error) {
      record(from, 'unknown', 400);
      throw error;
    }
  };
}

/** The oldest of several bindings of one identity, so that a token does not end with a newer one. */
function pick(bindings: readonly Binding[], wanted: string | undefined): Binding {
  const fitting = wanted === undefined ? bindings : bindings.filter(({ identity }) => isNamed(identity, wanted));
  const [first, ...others] = fitting;
  if (first === undefined) throw new BerthError('identityNotBound', wanted?.slice(0, 300));
  if (others.some(({ identity }) => identity.uid !== first.identity.uid)) throw new BerthError('identityAmbiguous');
  return first;
}
