import { BerthError } from '../../core/errors.ts';
import type { Standing } from './principal-store.ts';
import type { SignIn, SignInFrom } from './sign-in.ts';
import type { SignedIn } from './tenant-tokens.ts';

export type SecretSignIn = { readonly clientId: string; readonly secret: string; readonly from: SignInFrom };

export type PasswordSignIn = {
  readonly clientId: string;
  readonly userName: string;
  readonly password: string;
  readonly from: SignInFrom;
};

/** A service principal by its client secret. Throws `clientSecretWrong` and `tooManyAttempts`. */
export async function signInWithSecret(signIn: SignIn, { clientId, secret, from }: SecretSignIn): Promise<SignedIn> {
  const standing = await signIn({ registryUid: undefined, userName: clientId, password: secret, from });
  if (standing?.principal.kind !== 'servicePrincipal') throw new BerthError('clientSecretWrong');
  return signedIn(standing, standing.loginName, 'secret');
}

/** A person by user name and password. Throws `userPasswordWrong` and `tooManyAttempts`. */
export async function signInWithPassword(signIn: SignIn, asked: PasswordSignIn): Promise<SignedIn> {
  const { userName, password, from } = asked;
  const standing = await signIn({ registryUid: undefined, userName, password, from });
  if (standing?.principal.kind !== 'user') throw new BerthError('userPasswordWrong');
  return signedIn(standing, asked.clientId, 'none');
}

export function signedIn(standing: Standing, clientId: string, proof: SignedIn['proof']): SignedIn {
  const { principal, credentialUid, loginName } = standing;
  return { principal, credentialUid, loginName, clientId: clientId.toLowerCase(), proof };
}
