import { X509Certificate } from 'node:crypto';
import {
  type KeptPassword,
  type StoredToken,
  storedTokenSchema,
  type TokenCertificate,
  tokenPropertiesSchema,
} from '../../wire/arm/token-schema.ts';
import { isGuid } from '../identity/object-id.ts';
import { plainJson } from '../registries/registry-rules.ts';
import { parseProperties } from '../resources/parse-properties.ts';
import { refuse } from '../resources/refuse.ts';
import type { Desired, Resource } from '../resources/resource.ts';
import type { Validation } from '../resources/resource-type.ts';

export const repositoryTokenType = 'Microsoft.ContainerRegistry/registries/tokens';

/** Throws `resourceNameInvalid`. GUIDs are user names of others: service principals, and the one that refresh tokens go with. */
export function checkTokenName(name: string): void {
  if (/^[a-z0-9][a-z0-9-]{4,49}$/i.test(name) && !isGuid(name)) return;
  throw refuse('resourceNameInvalid', {
    message: `The token name '${name.slice(0, 100)}' is invalid: use 5 to 50 letters, digits and -, of which the first is a letter or digit, and no GUID.`,
    target: 'name',
  });
}

/** Passwords are made by `generateCredentials` alone: a request can only say which of them stay. Throws `resourceInvalid`. */
export function validateToken({ name, desired, existing }: Validation): Desired {
  if (name.name.toLowerCase() === registryNameOf(name.parentId).toLowerCase())
    throw refuse('resourceNameInvalid', {
      message: `The token name '${name.name}' is the user name of the registry's admin account. Choose another.`,
      target: 'name',
    });
  const { scopeMapId, status, credentials } = parseProperties(tokenPropertiesSchema, desired.properties, 'properties');
  const before = existing && storedTokenOf(existing);
  const properties: StoredToken = {
    scopeMapId,
    status,
    credentials: {
      passwords: keptPasswords(before?.credentials.passwords ?? [], credentials?.passwords),
      certificates: credentials?.certificates?.map(certificateOf) ?? before?.credentials.certificates ?? [],
    },
  };
  return { location: undefined, tags: {}, sku: undefined, identity: undefined, properties: plainJson(properties) };
}

export function storedTokenOf({ properties }: Pick<Resource, 'properties'>): StoredToken {
  return storedTokenSchema.parse(properties);
}

/** The name that the last part of an id gives; the map has to be one of the token's own registry. */
export function scopeMapNameOf(scopeMapId: string, registryId: string): string {
  const [, name] = /\/scopemaps\/([^/]+)$/i.exec(scopeMapId) ?? [];
  const isOurs = name !== undefined && scopeMapId.toLowerCase() === `${registryId}/scopeMaps/${name}`.toLowerCase();
  if (isOurs) return name;
  throw refuse('resourceInvalid', {
    message: `The scope map '${scopeMapId.slice(0, 300)}' is not one of this registry: use ${registryId}/scopeMaps/<name>.`,
    target: 'properties.scopeMapId',
  });
}

function keptPasswords(
  existing: readonly KeptPassword[],
  asked: readonly Pick<KeptPassword, 'name'>[] | null | undefined,
): KeptPassword[] {
  return existing.filter(({ name }) => asked == null || asked.some((each) => each.name === name));
}

/** Thumbprint and expiry are the certificate's own. */
function certificateOf(asked: TokenCertificate): TokenCertificate {
  if (!asked.encodedPemCertificate) return asked;
  try {
    const certificate = new X509Certificate(Buffer.from(asked.encodedPemCertificate, 'base64'));
    const thumbprint = certificate.fingerprint.replaceAll(':', '');
    return { ...asked, thumbprint, expiry: certificate.validToDate.toISOString() };
  } catch (error) {
    throw Object.assign(
      refuse('resourceInvalid', {
        message: `The certificate '${asked.name}' is not the base64 of a certificate in PEM.`,
        target: 'properties.credentials.certificates',
      }),
      { cause: error },
    );
  }
}

function registryNameOf(registryId: string): string {
  return registryId.slice(registryId.lastIndexOf('/') + 1);
}
