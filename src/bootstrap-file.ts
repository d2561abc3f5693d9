import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';

const ownerSchema = z.object({
  clientId: z.string(),
  clientSecret: z.string(),
  userName: z.string(),
  password: z.string(),
});

/** What the first start made, for its administrator. Source: runtime contract, "bootstrap.json". */
export const bootstrapSchema = z.object({
  tenantId: z.string(),
  subscriptionId: z.string(),
  /** Path. */
  caCertificate: z.string(),
  /** Origins. */
  endpoints: z.object({
    management: z.string(),
    login: z.string(),
    graph: z.string(),
    portal: z.string(),
    registry: z.string(),
  }),
  owner: ownerSchema,
  /** A credential of the default registry that can push and pull. */
  registry: z.object({
    name: z.string(),
    loginServer: z.string(),
    username: z.string(),
    password: z.string(),
  }),
});
export type Bootstrap = z.infer<typeof bootstrapSchema>;

/** The part that exists nowhere else: the database holds it hashed only. */
export const installationSecretsSchema = bootstrapSchema.pick({ tenantId: true, owner: true });
export type InstallationSecrets = z.infer<typeof installationSecretsSchema>;

/** Undefined when the file does not exist; throws when it is malformed. */
export function readJsonIfThere<T>(file: string, schema: z.ZodType<T>): T | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  return schema.parse(JSON.parse(text));
}

/** The file appears whole and durable, readable by this user alone. */
export function writeSecretJson(file: string, value: unknown): void {
  const temporary = `${file}.new`;
  rmSync(temporary, { force: true });
  const fd = openSync(temporary, 'wx', 0o600);
  try {
    writeSync(fd, `${JSON.stringify(value, null, 2)}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, file);
  syncFolderOf(file);
}

export function removeDurably(file: string): void {
  rmSync(file, { force: true });
  syncFolderOf(file);
}

function syncFolderOf(file: string): void {
  const fd = openSync(dirname(file), 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
