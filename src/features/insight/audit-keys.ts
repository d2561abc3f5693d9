import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import type { Clock } from '../../platform/clock.ts';
import type { Queries, Transaction } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';

export type AuditKeyParts = { readonly clock: Clock; readonly ids: Ids; readonly sealer: Sealer };

/** A text as it was signed: by which key, in base64. */
export type SignedText = { readonly key_uid: string; readonly statement: string; readonly signature: string };

/** Public keys by uid. */
export type AuditKeys = ReadonlyMap<string, KeyObject>;

/** Signs with the key of the installation, which is made when there is none. */
export async function signed(tx: Transaction, parts: AuditKeyParts, statement: string): Promise<SignedText> {
  const { uid, sealed_private_key } = await signingKey(tx, parts);
  const key = createPrivateKey(parts.sealer.openText(purposeOf(uid), sealed_private_key));
  return { key_uid: uid, statement, signature: sign(null, Buffer.from(statement), key).toString('base64') };
}

/** The public keys count only where their private half is sealed under the master key: nobody else can have put them there. */
export async function openAuditKeys(queries: Queries, sealer: Sealer): Promise<AuditKeys> {
  const rows = await queries.selectFrom('audit_keys').selectAll().execute();
  return new Map(
    rows.map(({ uid, sealed_private_key }) => {
      const pem = sealer.openText(purposeOf(uid), sealed_private_key);
      return [uid, createPublicKey(createPrivateKey(pem))];
    }),
  );
}

export function isSigned(keys: AuditKeys, { key_uid, statement, signature }: SignedText): boolean {
  const key = keys.get(key_uid);
  return key !== undefined && verify(null, Buffer.from(statement), key, Buffer.from(signature, 'base64'));
}

async function signingKey(tx: Transaction, { clock, ids, sealer }: AuditKeyParts) {
  const known = await tx.selectFrom('audit_keys').selectAll().orderBy('created_at', 'desc').limit(1).executeTakeFirst();
  if (known !== undefined) return known;
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const uid = ids.uid();
  const row = {
    uid,
    public_key: publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
    sealed_private_key: sealer.sealText(purposeOf(uid), privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()),
    created_at: clock.nowMicros(),
  };
  await tx.insertInto('audit_keys').values(row).execute();
  return row;
}

function purposeOf(uid: string): string {
  return `audit-key/${uid}`;
}
