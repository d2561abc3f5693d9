import { exportJWK, generateKeyPair, importJWK, type JWK } from 'jose';
import { z } from 'zod';
import type { Queries, Transaction } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';

/** ECDSA on P-256 with SHA-256, and nothing else: a token's header chooses neither. Source: RFC 7518, section 3.4. */
export const signingAlgorithm = 'ES256';

const publicJwk = z.object({ kty: z.literal('EC'), crv: z.literal('P-256'), x: z.string(), y: z.string() });
const privateJwk = publicJwk.extend({ d: z.string() });

/** What a key signs; a key of one purpose never verifies another's tokens. */
export type KeyPurpose = 'registryToken' | 'tenantToken';

export type NewSigningKey = {
  readonly kid: string;
  readonly publicJwk: string;
  readonly sealedPrivateJwk: Uint8Array;
};

export type SigningKey = {
  readonly kid: string;
  readonly publicKey: CryptoKey;
  readonly publicJwk: JWK;
  readonly sealedPrivateJwk: Uint8Array;
  readonly createdAtMicros: number;
  /** It signs until then, unless a newer one does. */
  readonly retiresAtMicros: number;
  /** It verifies until then. */
  readonly expiresAtMicros: number;
};

export async function newSigningKey(ids: Ids, sealer: Sealer): Promise<NewSigningKey> {
  const pair = await generateKeyPair(signingAlgorithm, { extractable: true });
  const secret = JSON.stringify(privateJwk.parse(await exportJWK(pair.privateKey)));
  const kid = ids.uid();
  return {
    kid,
    publicJwk: JSON.stringify(publicJwk.parse(await exportJWK(pair.publicKey))),
    sealedPrivateJwk: sealer.sealText(sealPurpose(kid), secret),
  };
}

export async function openPrivateKey(sealer: Sealer, key: SigningKey): Promise<CryptoKey> {
  const text = sealer.openText(sealPurpose(key.kid), key.sealedPrivateJwk);
  return await importJWK(privateJwk.parse(JSON.parse(text)), signingAlgorithm);
}

/** Keys that still verify, newest first. */
export async function findSigningKeys(queries: Queries, purpose: KeyPurpose, nowMicros: number): Promise<SigningKey[]> {
  const rows = await queries
    .selectFrom('signing_keys')
    .where('purpose', '=', purpose)
    .where('expires_at', '>', nowMicros)
    .orderBy('created_at', 'desc')
    .orderBy('uid')
    .selectAll()
    .execute();
  return await Promise.all(
    rows.map(async (row) => {
      const jwk = publicJwk.parse(JSON.parse(row.public_jwk));
      return {
        kid: row.uid,
        publicKey: await importJWK(jwk, signingAlgorithm),
        publicJwk: jwk,
        sealedPrivateJwk: row.sealed_private_jwk,
        createdAtMicros: row.created_at,
        retiresAtMicros: row.retires_at,
        expiresAtMicros: row.expires_at,
      };
    }),
  );
}

/** Microseconds; 0 when there is no key yet. */
export async function newestCreation(tx: Transaction, purpose: KeyPurpose): Promise<number> {
  const newest = await tx
    .selectFrom('signing_keys')
    .where('purpose', '=', purpose)
    .orderBy('created_at', 'desc')
    .limit(1)
    .select('created_at')
    .executeTakeFirst();
  return newest?.created_at ?? 0;
}

/** Answers when it was made, in microseconds; undefined when there is no such key. */
export async function deleteSigningKey(tx: Transaction, purpose: KeyPurpose, kid: string): Promise<number | undefined> {
  const deleted = await tx
    .deleteFrom('signing_keys')
    .where('uid', '=', kid)
    .where('purpose', '=', purpose)
    .returning('created_at')
    .executeTakeFirst();
  return deleted?.created_at;
}

export async function insertSigningKey(
  tx: Transaction,
  key: NewSigningKey,
  row: {
    readonly purpose: KeyPurpose;
    readonly createdAtMicros: number;
    readonly retiresAtMicros: number;
    readonly expiresAtMicros: number;
  },
): Promise<void> {
  await tx
    .insertInto('signing_keys')
    .values({
      uid: key.kid,
      purpose: row.purpose,
      algorithm: signingAlgorithm,
      public_jwk: key.publicJwk,
      sealed_private_jwk: key.sealedPrivateJwk,
      created_at: row.createdAtMicros,
      retires_at: row.retiresAtMicros,
      expires_at: row.expiresAtMicros,
    })
    .execute();
}

function sealPurpose(kid: string): string {
  return `signingKey/${kid}`;
}
