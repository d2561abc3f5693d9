import { z } from 'zod';
import { TaskError } from './task-error.ts';

/** Of one task. */
export const maxVaultSecrets = 50;

const idPattern = /^[^\s]{1,100}$/;
/** `https://<vault>/secrets/<name>[/<version>]`. Source: Key Vault REST, "Objects, identifiers, and versioning". */
const keyvaultPattern =
  /^https:\/\/[a-z0-9.-]{1,253}(?::\d{1,5})?\/secrets\/[a-z0-9-]{1,127}(?:\/[a-z0-9-]{1,64})?\/?$/i;
const clientIdPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A secret of a key vault that a task file names. Source: ACR tasks, 2.4. */
export const vaultSecretSchema = z.object({
  id: z.string().regex(idPattern),
  keyvault: z.string().refine(isVaultAddress),
  /** Of a user-assigned identity of the task; the system-assigned one reads it without. */
  clientId: z.string().regex(clientIdPattern).exactOptional(),
});
export type VaultSecret = z.infer<typeof vaultSecretSchema>;

const text = z.union([z.string(), z.number()]).transform(String);
/** As people write them; `vaultSecretsOf` looks at what is left out. */
export const writtenSecretsSchema = z
  .array(z.object({ id: text.nullish(), keyvault: z.string().nullish(), clientID: z.string().nullish() }))
  .max(maxVaultSecrets);
type WrittenSecret = z.infer<typeof writtenSecretsSchema>[number];

/** Throws TaskError. */
export function vaultSecretsOf(written: readonly WrittenSecret[]): readonly VaultSecret[] {
  const secrets = written.map(vaultSecretOf);
  const twice = secrets.find(({ id }, index) => secrets.findIndex((each) => each.id === id) !== index);
  if (twice !== undefined) throw new TaskError(`the secret ${twice.id} is there twice`);
  return secrets;
}

function vaultSecretOf({ id, keyvault, clientID }: WrittenSecret, index: number): VaultSecret {
  if (!idPattern.test(id ?? '')) throw new TaskError(`secret ${index + 1} of the task has no id, or one with a space`);
  const name = id ?? '';
  if (!keyvault)
    throw new TaskError(
      `the secret ${name} has no keyvault: write the address of a secret of a key vault, or leave it out and give the value with --set-secret ${name}=…, and write {{.Values.${name}}}`,
    );
  if (!isVaultAddress(keyvault))
    throw new TaskError(`the secret ${name}: its keyvault is not https://<vault>/secrets/<name>[/<version>]`);
  if (clientID && !isClientId(clientID))
    throw new TaskError(`the secret ${name}: its clientID is not the client id of an identity, which is a GUID`);
  return { id: name, keyvault, ...(clientID ? { clientId: clientID } : {}) };
}

/** What an address names, read as the identity with `clientId`; undefined where either is none. It is called by its own name. */
export function vaultSecretAt(keyvault: string, clientId?: string): VaultSecret | undefined {
  const [, id] = /\/secrets\/([^/]+)/i.exec(keyvault) ?? [];
  const secret = { id, keyvault, ...(clientId === undefined ? {} : { clientId }) };
  return vaultSecretSchema.safeParse(secret).data;
}

export function isClientId(text: string): boolean {
  return clientIdPattern.test(text);
}

function isVaultAddress(text: string): boolean {
  return keyvaultPattern.test(text) && URL.canParse(text);
}
