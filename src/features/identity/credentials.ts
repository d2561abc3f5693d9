import { X509Certificate } from 'node:crypto';
import type { Selectable } from 'kysely';
import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Queries, Transaction } from '../../platform/database/database.ts';
import type { Schema } from '../../platform/database/schema.ts';
import type { Ids } from '../../platform/ids.ts';
import { hashSecret } from '../../platform/keys/secret-hash.ts';
import { certificateVerifierSchema, federatedVerifierSchema } from './client-assertions.ts';
import { newSecret } from './new-secret.ts';
import { objectIdOf, uidOfObjectId } from './object-id.ts';
import { insertSecret } from './principal-store.ts';

type Row = Selectable<Schema['secrets']>;

/** Of one application or service principal. */
const maxCredentials = 100;

type Dates = { readonly startsAtMicros: number | undefined; readonly expiresAtMicros: number | undefined };

/** How an application or service principal may prove itself, without what must stay secret. */
export type Credential = Dates & {
  readonly uid: string;
  readonly isOfApplication: boolean;
  readonly displayName: string | undefined;
  readonly createdAtMicros: number;
} & (
    | { readonly kind: 'secret'; readonly hint: string | undefined }
    /** SHA-1 of the certificate in upper-case hex, which is how people tell certificates apart. */
    | { readonly kind: 'certificate'; readonly thumbprint: string }
    | {
        readonly kind: 'federated';
        readonly issuer: string;
        readonly subject: string;
        readonly audiences: readonly string[];
        readonly description: string | undefined;
      }
  );

/** Whose credential it is: an application and its service principal share the principal. */
export type Holder = { readonly principalUid: string; readonly isOfApplication: boolean };

export async function listCredentials(
  queries: Queries,
  principalUids: readonly string[],
): Promise<Map<string, Credential[]>> {
  if (principalUids.length === 0) return new Map();
  const rows = await queries
    .selectFrom('secrets')
    .selectAll()
    .where('principal_uid', 'in', principalUids)
    .orderBy('created_at')
    .orderBy('uid')
    .execute();
  const byPrincipal = Map.groupBy(rows, (row) => row.principal_uid);
  return new Map([...byPrincipal].map(([uid, own]) => [uid, own.flatMap(credentialOf)]));
}

export type NewPassword = Dates & { readonly displayName: string | undefined };

/** A new secret of 256 random bits, shown this once. Throws `directoryObjectInvalid` when there are too many. */
export async function addPassword(
  { ids, clock }: { readonly ids: Ids; readonly clock: Clock },
  tx: Transaction,
  { principalUid, isOfApplication }: Holder,
  { displayName, startsAtMicros, expiresAtMicros }: NewPassword,
): Promise<{ readonly credentialUid: string; readonly secret: string }> {
  await checkCount(tx, principalUid);
  const secret = newSecret(ids);
  const credentialUid = ids.uid();
  await insertSecret(
    tx,
    principalUid,
    {
      uid: credentialUid,
      name: 'clientSecret',
      verifier: hashSecret(secret),
      sealed: undefined,
      hint: secret.slice(0, 3),
      isOfApplication,
      ...(displayName === undefined ? {} : { displayName }),
      ...(startsAtMicros === undefined ? {} : { startsAtMicros }),
      ...(expiresAtMicros === undefined ? {} : { expiresAtMicros }),
    },
    clock.nowMicros(),
  );
  return { credentialUid, secret };
}

/** Throws `directoryObjectUnknown`. */
export async function removeCredential(
  tx: Transaction,
  { principalUid, isOfApplication }: Holder,
  uid: string,
  name: 'clientSecret' | 'federated',
): Promise<void> {
  const removed = await tx
    .deleteFrom('secrets')
    .where('uid', '=', uid)
    .where('principal_uid', '=', principalUid)
    .where('is_of_application', '=', isOfApplication ? 1 : 0)
    .where('name', '=', name)
    .returning('uid')
    .executeTakeFirst();
  if (removed === undefined) throw new BerthError('directoryObjectUnknown', { keyId: objectIdOf(uid) });
}

/** A certificate as a request names it: anew with its text, or one that is to stay by its id. */
export type KeyRequest = Dates & {
  readonly keyId: string | undefined;
  /** Base64 of DER or PEM. */
  readonly key: string | undefined;
  readonly displayName: string | undefined;
};

/** The certificates are these from now on. Throws `directoryObjectInvalid`. */
export async function replaceCertificates(
  { ids, clock }: { readonly ids: Ids; readonly clock: Clock },
  tx: Transaction,
  { principalUid, isOfApplication }: Holder,
  keys: readonly KeyRequest[],
): Promise<void> {
  const kept = keys.flatMap(({ keyId, key }) =>
    key === undefined && keyId !== undefined ? [uidOfObjectId(keyId) ?? ''] : [],
  );
  let removal = tx
    .deleteFrom('secrets')
    .where('principal_uid', '=', principalUid)
    .where('is_of_application', '=', isOfApplication ? 1 : 0)
    .where('name', '=', 'certificate');
  if (kept.length > 0) removal = removal.where('uid', 'not in', kept);
  await removal.execute();
  for (const request of keys) {
    if (request.key === undefined) continue;
    await checkCount(tx, principalUid);
    const asked = request.keyId === undefined ? undefined : uidOfObjectId(request.keyId);
    await insertSecret(
      tx,
      principalUid,
      { ...certificateRow(request.key, request), uid: asked ?? ids.uid(), isOfApplication },
      clock.nowMicros(),
    );
  }
}

export type FederatedRequest = {
  readonly name: string;
  readonly issuer: string;
  readonly subject: string;
  readonly audiences: readonly string[];
  readonly description: string | undefined;
};

/** Trust in tokens of an outside issuer. Throws `directoryObjectInvalid` when there are too many. */
export async function addFederated(
  { ids, clock }: { readonly ids: Ids; readonly clock: Clock },
  tx: Transaction,
  principalUid: string,
  { name, issuer, subject, audiences, description }: FederatedRequest,
  uid = ids.uid(),
): Promise<string> {
  await checkCount(tx, principalUid);
  const verifier = JSON.stringify({ issuer, subject, audiences, description });
  await insertSecret(
    tx,
    principalUid,
    { uid, name: 'federated', verifier, sealed: undefined, displayName: name, isOfApplication: true },
    clock.nowMicros(),
  );
  return uid;
}

function certificateRow(text: string, { displayName, startsAtMicros, expiresAtMicros }: KeyRequest) {
  const certificate = parseCertificate(text);
  const notAfter = Date.parse(certificate.validTo) * 1_000;
  const notBefore = Date.parse(certificate.validFrom) * 1_000;
  return {
    name: 'certificate',
    verifier: JSON.stringify({ certificate: certificate.raw.toString('base64') }),
    sealed: undefined,
    displayName: displayName ?? certificate.subject.slice(0, 200),
    startsAtMicros: Math.max(notBefore, startsAtMicros ?? 0),
    expiresAtMicros: Math.min(notAfter, expiresAtMicros ?? notAfter),
  } as const;
}

function parseCertificate(text: string): X509Certificate {
  try {
    return new X509Certificate(Buffer.from(text, 'base64'));
  } catch (cause) {
    throw new BerthError('directoryObjectInvalid', 'keyCredentials: key is not a certificate in base64', { cause });
  }
}

async function checkCount(tx: Transaction, principalUid: string): Promise<void> {
  const { count } = await tx
    .selectFrom('secrets')
    .where('principal_uid', '=', principalUid)
    .where('name', '!=', 'run')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  if (Number(count) >= maxCredentials)
    throw new BerthError('directoryObjectInvalid', `it has ${maxCredentials} credentials already: remove some first`);
}

function credentialOf(row: Row): Credential[] {
  const common = {
    uid: row.uid,
    isOfApplication: row.is_of_application === 1,
    displayName: row.display_name ?? undefined,
    startsAtMicros: row.starts_at ?? undefined,
    expiresAtMicros: row.expires_at ?? undefined,
    createdAtMicros: row.created_at,
  };
  switch (row.name) {
    case 'clientSecret':
      return [{ ...common, kind: 'secret', hint: row.hint ?? undefined }];
    case 'certificate': {
      const { certificate } = certificateVerifierSchema.parse(JSON.parse(row.verifier));
      const { fingerprint } = new X509Certificate(Buffer.from(certificate, 'base64'));
      return [{ ...common, kind: 'certificate', thumbprint: fingerprint.replaceAll(':', '') }];
    }
    case 'federated': {
      const { description, ...trust } = federatedVerifierSchema.parse(JSON.parse(row.verifier));
      return [{ ...common, kind: 'federated', ...trust, description }];
    }
    default:
      return [];
  }
}
