import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Sealer } from '../../platform/keys/sealer.ts';
import { runSourceSchema } from '../../wire/builds/agent-protocol.ts';
import { runWorkSchema } from '../../wire/builds/run-work.ts';
import { vaultSecretSchema } from '../../wire/tasks/vault-secret.ts';
import type { NewRun } from './run.ts';

const customRegistrySchema = z.object({
  server: z.string(),
  username: z.string().exactOptional(),
  password: z.string().exactOptional(),
  vault: z
    .object({ username: vaultSecretSchema.exactOptional(), password: vaultSecretSchema.exactOptional() })
    .exactOptional(),
  identity: z.string().exactOptional(),
  principalUid: z.string().exactOptional(),
});

const vaultAccessSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('identities'),
    resourceUid: z.string().exactOptional(),
    identities: z.array(z.object({ clientId: z.string().exactOptional(), principalUid: z.string() })),
  }),
  z.object({ kind: z.literal('none'), reason: z.enum(['otherFiles', 'stranger']) }),
]);

/** What an agent is told to do, with the secrets for it: sealed from the request to the end of the run. */
const sealedOrderSchema = z.object({
  work: runWorkSchema,
  source: runSourceSchema,
  authority: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('principal'), principalId: z.string(), principalType: z.string() }),
    z.object({ kind: z.literal('none') }),
  ]),
  customRegistries: z.array(customRegistrySchema),
  vaultAccess: vaultAccessSchema.exactOptional(),
});
export type SealedOrder = z.infer<typeof sealedOrderSchema>;

export function sealOrder(sealer: Sealer, runUid: string, run: NewRun): Uint8Array {
  const { work, source, authority, customRegistries, vaultAccess } = run;
  const order = { work, source, authority, customRegistries, vaultAccess };
  return sealer.sealText(orderPurpose(runUid), JSON.stringify(order));
}

/** Throws SealError. */
export function openOrder(sealer: Sealer, runUid: string, sealed: Uint8Array): SealedOrder {
  return sealedOrderSchema.parse(JSON.parse(sealer.openText(orderPurpose(runUid), sealed)));
}

export function sealMasks(sealer: Sealer, runUid: string, masked: readonly string[]): Uint8Array {
  return sealer.sealText(masksPurpose(runUid), JSON.stringify(masked));
}

/** Throws SealError. */
export function openMasks(sealer: Sealer, runUid: string, sealed: Uint8Array): readonly string[] {
  return z.array(z.string()).parse(JSON.parse(sealer.openText(masksPurpose(runUid), sealed)));
}

/** Tells masks of a run from those that it had before. */
export function masksVersion(sealed: Uint8Array | null): string {
  return createHash('sha256')
    .update(sealed ?? '')
    .digest('base64');
}

function orderPurpose(runUid: string): string {
  return `run order/${runUid}`;
}

function masksPurpose(runUid: string): string {
  return `run masks/${runUid}`;
}
