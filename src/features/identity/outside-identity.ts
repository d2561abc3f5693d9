import { z } from 'zod';
import { BerthError } from '../../core/errors.ts';

const maxSubjectLength = 255;
const maxNameLength = 256;

/** Someone as an outside provider knows them: issuer and subject together never stand for anybody else. */
export type OutsideIdentity = {
  readonly issuer: string;
  readonly subject: string;
  readonly userName: string;
  readonly displayName: string;
  /** As the provider names them. */
  readonly groups: readonly string[];
};

const standardSchema = z.looseObject({ iss: z.string(), sub: z.string().min(1).max(maxSubjectLength) });
const textSchema = z.string().min(1).max(maxNameLength);
const groupsSchema = z.union([z.array(z.string()), z.string().transform((group) => [group])]);

/** Reads the claims of an ID token that has been verified. Throws `outsideRefused` for one that names nobody. */
export function outsideIdentityOf(
  claims: Readonly<Record<string, unknown>>,
  names: { readonly userClaim: string; readonly groupsClaim: string },
): OutsideIdentity {
  const standard = standardSchema.safeParse(claims).data;
  const userName = textSchema.safeParse(claims[names.userClaim]).data;
  if (standard === undefined || userName === undefined)
    throw new BerthError('outsideRefused', `its token has no claim ${names.userClaim}`);
  return {
    issuer: standard.iss,
    subject: standard.sub,
    userName,
    displayName: textSchema.safeParse(claims.name).data ?? userName,
    groups: groupsSchema.safeParse(claims[names.groupsClaim]).data ?? [],
  };
}
